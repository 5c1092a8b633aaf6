# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Our dataset gives XTuner's tokens, refuses what XTuner hides, and batches by length."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from conftest import Toy
from mmengine.config import ConfigDict
from xtuner.dataset import InternVL_V1_5_Dataset

from training.xtuner.config import TEMPLATE
from training.xtuner.data import DataError, DialogueDataset, LengthBatches, collate


def dataset(toy: Toy, device_resize: bool = True) -> DialogueDataset:
    return DialogueDataset(
        str(toy.model), TEMPLATE, str(toy.data), str(toy.images), 512, device_resize
    )


@pytest.mark.parametrize("device_resize", [True, False])
def test_tokens_and_labels_are_xtuners(toy: Toy, device_resize: bool) -> None:
    stock = InternVL_V1_5_Dataset(
        str(toy.model), ConfigDict(TEMPLATE), str(toy.data), str(toy.images)
    )
    ours = dataset(toy, device_resize)
    assert len(ours) == len(stock) == len(toy.records)
    for index in (0, 1, 5, 10):
        for key in ("input_ids", "labels"):
            assert ours[index][key] == stock[index][key]


def test_lengths_are_those_of_the_tokens_but_for_the_template(toy: Toy) -> None:
    """The template adds the same number of tokens to every record with as many turns."""
    ours = dataset(toy)
    extra = {
        (
            len(record["conversations"]),
            len(ours[index]["input_ids"]) - abs(ours.group_length[index]),
        )
        for index, record in enumerate(toy.records)
    }
    for turns in (2, 4):
        assert max(x for n, x in extra if n == turns) - min(x for n, x in extra if n == turns) <= 2


def test_a_broken_photo_stops_the_run_and_is_named(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"not a photo")
    record = {**toy.records[0], "id": "seven", "image": "bad.png"}
    (tmp_path / "train.json").write_text(json.dumps([record]), encoding="utf-8")
    for device_resize in (True, False):
        ours = DialogueDataset(
            str(toy.model),
            TEMPLATE,
            str(tmp_path / "train.json"),
            str(tmp_path),
            512,
            device_resize,
        )
        with pytest.raises(DataError, match=r"seven.*bad\.png"):
            ours[0]


def test_a_soft_answer_of_several_tokens_is_refused(toy: Toy) -> None:
    ours = dataset(toy)
    ours.data[0]["soft"] = {"an answer of many tokens": 1.0}
    with pytest.raises(DataError, match="many tokens"):
        ours[0]


def test_a_batch_pads_on_the_right_and_keeps_every_record(toy: Toy) -> None:
    ours = dataset(toy)
    picked = [ours[index] for index in (0, 1, 2, 3, 4, 5)]
    batch = collate(picked)["data"]
    assert sorted(batch["shapes"]) == [(2, 3, 64, 80), (3, 3, 64, 64)]
    wide = next(i for i, shape in enumerate(batch["shapes"]) if shape[-1] == 80)
    first = batch["pixels"].split([math.prod(shape) for shape in batch["shapes"]])[wide]
    assert torch.equal(first.view(2, 3, 64, 80)[0], picked[0]["pixel_values"])
    rows = {
        tuple(ids[keep].tolist())
        for ids, keep in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    }
    assert rows == {tuple(record["input_ids"]) for record in picked}
    assert (batch["labels"][~batch["attention_mask"]] == -100).all()


def test_an_epoch_sees_every_record_once_in_batches_of_one_length(toy: Toy) -> None:
    ours = dataset(toy)
    batches = torch.tensor(list(LengthBatches(ours, 6, iterations=11, seed=1))).split(6)
    assert sorted(torch.cat(batches).tolist()) == list(range(66))
    lengths = torch.tensor([abs(length) for length in ours.group_length])
    grouped = sum(int(lengths[b].max() * len(b) - lengths[b].sum()) for b in batches)
    shuffled = torch.randperm(66, generator=torch.Generator().manual_seed(0)).split(6)
    mixed = sum(int(lengths[b].max() * len(b) - lengths[b].sum()) for b in shuffled)
    assert grouped < mixed / 3


def test_a_resumed_sampler_goes_on_where_it_stopped(toy: Toy) -> None:
    ours = dataset(toy)
    whole = list(LengthBatches(ours, 6, iterations=30, seed=1))
    resumed = LengthBatches(ours, 6, iterations=30, seed=1)
    resumed.skip = 13
    assert list(resumed) == whole[13 * 6 :]
    assert len(whole) == 30 * 6
