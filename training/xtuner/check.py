# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call,untyped-decorator"
"""Loads what a run made and asks it about a photo: a folder that cannot answer is no result.

OUT ─────────────────────▶ answer        must load, with finite likelihoods, and say something
base + adapter + mlp1 ───▶ answer        must think the same
"""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModel
from xtuner.dataset.internvl_dataset import dynamic_preprocess

from . import base as base_
from .config import PHI3, TEMPLATE
from .data import DialogueDataset

QUESTION = "What dish is this?"
#: Tokens of an answer.
LENGTH = 24
#: Nats that the likelihoods of merged weights and of adapters may differ by: both are rounded.
APART = 0.5


class CheckError(Exception):
    """A result that does not load, or does not answer; the message says which."""


def artefacts(
    base: Path, model: Path, adapter: Path | None, photo: Path | None, work: Path
) -> dict[str, str]:
    """What each answers, ``{"model": …, "adapter": …}``.

    `photo` defaults to a grey square. Raises CheckError.
    """
    view = base_.view(model, work / "check")
    try:
        answers = {}
        loaded = load(view)
        merged, answers["model"] = ask(view, loaded, photo)
        del loaded
        gc.collect()
        if adapter is not None:
            with_adapter = load(base_.view(base, work / "check"), adapter)
            apart, answers["adapter"] = ask(work / "check", with_adapter, photo)
            distance = (merged.log_softmax(-1) - apart.log_softmax(-1)).abs()
            likely = merged.topk(min(20, len(merged))).indices
            if float(distance[likely].max()) > APART:
                raise CheckError(f"{adapter} does not answer as {model} does")
        return answers
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckError(f"{model} cannot be loaded and asked: {error}") from error
    finally:
        shutil.rmtree(work / "check", ignore_errors=True)


def load(folder: Path, adapter: Path | None = None) -> Any:
    """The model of a folder whose code is ours, ready to answer."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = AutoModel.from_pretrained(folder, trust_remote_code=True, torch_dtype=dtype).to(device)
    if adapter is not None:
        from peft import PeftModel

        model.load_state_dict(load_file(adapter / "mlp1.safetensors"), strict=False)
        # Not merged: what is checked is the form that PEFT reads.
        model.language_model = PeftModel.from_pretrained(model.language_model, adapter).to(dtype)
    return model.eval()


@torch.no_grad()
def ask(folder: Path, model: Any, photo: Path | None) -> tuple[Tensor, str]:
    """The logits of the answer's first token, and the answer."""
    picture = Image.open(photo).convert("RGB") if photo else Image.new("RGB", (448, 448), "gray")
    reader = Prompts(str(folder))
    config = reader.cfg
    most = min(config.max_dynamic_patch, 6)
    cut = dynamic_preprocess(picture, 1, most, config.force_image_size, config.use_thumbnail)
    pixels = torch.stack([reader.transformer(tile) for tile in cut])
    ids = reader.prompt(QUESTION, len(cut))
    parameter = next(model.parameters())
    model.img_context_token_id = reader.tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    pixels = pixels.to(parameter.device, parameter.dtype)
    ids = ids.to(parameter.device)
    words = model.embed(ids, pixels)
    said: list[int] = []
    end = reader.template["STOP_WORDS"][0]
    ends = {reader.tokenizer.eos_token_id, reader.tokenizer.convert_tokens_to_ids(end)}
    first = None
    for _ in range(LENGTH):
        logits = model.language_model(inputs_embeds=words).logits[0, -1].float()
        if not bool(torch.isfinite(logits).all()):
            raise CheckError(f"{folder} computes no finite likelihoods")
        first = logits if first is None else first
        said.append(int(logits.argmax()))
        if said[-1] in ends:
            break
        following = torch.tensor([[said[-1]]], device=parameter.device)
        words = torch.cat([words, model.get_input_embeddings()(following)], 1)
    assert first is not None
    return first.cpu(), reader.tokenizer.decode(said, skip_special_tokens=True).strip()


class Prompts(DialogueDataset):
    """The dataset's tokenizer, transform and template, without data."""

    def __init__(self, folder: str) -> None:
        phi3 = base_.language_model(base_.read_config(Path(folder))) == base_.PHI3
        template = ConfigDict(PHI3 if phi3 else TEMPLATE)
        super(DialogueDataset, self).__init__(folder, template, [], [], [], 8192)

    def prompt(self, question: str, tiles: int) -> Tensor:
        """Token ids of a question about a photo, up to where the answer begins, (1, length)."""
        turns = [
            {"from": "human", "value": f"<image>\n{question}"},
            {"from": "gpt", "value": "x"},
        ]
        tokens = self.get_inputid_labels(turns, self._image_tokens(tiles))
        first = next(i for i, label in enumerate(tokens["labels"]) if label != -100)
        return torch.tensor([tokens["input_ids"][:first]])
