# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""A checkpoint of nano's architecture, smaller still, and dialogues about coloured plates."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import training.xtuner  # noqa: F401 - settles the process before anything imports XTuner
from training.nano.assemble import assemble

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
SPECIAL = ("<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    """What a training run needs."""

    #: Checkpoint folder.
    model: Path
    #: LLaVA JSON.
    data: Path
    images: Path
    records: list[dict[str, Any]]


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Chance is the same in every run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("toy")
    images = folder / "images"
    images.mkdir()
    records = []
    noise = np.random.default_rng(0)
    for number in range(60):
        name = list(COLOURS)[number % 3]
        size = (64, 64) if number % 4 else (80, 64)
        pixels = np.array(COLOURS[name]) + noise.normal(0, 30, (size[1], size[0], 3))
        Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(images / f"{number}.png")
        records.append(_record(number, f"a {name} dish", image=f"{number}.png"))
        if number % 10 == 0:
            records.append(_record(1000 + number, "我不知道，没有照片"))
    data = folder / "train.json"
    data.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 2}
    model = assemble(
        _tokenizer(folder / "tokenizer", records),
        folder / "model",
        vision_config={**sizes, "intermediate_size": 128},
        llm_config={**sizes, "intermediate_size": 128, "num_key_value_heads": 1},
    )
    return Toy(model=model, data=data, images=images, records=records)


def wide(toy: Toy, folder: Path) -> Toy:
    """The toy, but a photo is cut into up to three tiles and a thumbnail; photos are larger."""
    model = folder / "model"
    shutil.copytree(toy.model, model)
    config = json.loads((model / "config.json").read_text())
    config["max_dynamic_patch"] = 3
    config["vision_config"]["drop_path_rate"] = 0.0
    (model / "config.json").write_text(json.dumps(config))
    images = folder / "images"
    images.mkdir()
    for number, file in enumerate(sorted(toy.images.iterdir())):
        size = ((600, 300), (300, 600), (500, 500), (900, 300))[number % 4]
        Image.open(file).resize(size).save(images / file.name)
    return Toy(model=model, data=toy.data, images=images, records=toy.records)


def _record(number: int, answer: str, image: str | None = None) -> dict[str, Any]:
    asked = "what is this?" if image is None else "<image>\nwhat is this?"
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
    if number % 5 == 0:
        turns += [
            {"from": "human", "value": "are you sure?"},
            {"from": "gpt", "value": f"yes, {answer}, and I say so in many more words"},
        ]
    record: dict[str, Any] = {"id": str(number), "conversations": turns}
    return record if image is None else {**record, "image": image}


def _tokenizer(folder: Path, records: list[dict[str, Any]]) -> Path:
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", "<s>", "</s>", *SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator((json.dumps(r, ensure_ascii=False) for r in records), trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=list(SPECIAL),
    ).save_pretrained(folder)
    return folder
