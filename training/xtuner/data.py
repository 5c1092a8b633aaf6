# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""XTuner's InternVL dataset, without its waste and its surprises.

What differs from ``InternVL_V1_5_Dataset``, record for record the same tokens and labels otherwise:

- a photo that cannot be read stops the run and is named (XTuner silently takes another record);
- lengths are exact, so that a batch holds records of one length and little padding;
- a record may say how likely several answers are, ``"soft": {"ramen": 0.7, "pho": 0.3}``, each one
  token: they are the target of the first answer's first token (distillation);
- with ``device_resize`` a photo travels to the model at its own size, as bytes, and is enlarged
  there; XTuner's way, 448 x 448 floats made by each loader process, starves a nano model.

The sampler repeats the data inside one pass, so that loader processes start once, and can start in
the middle, so that a resumed run does not read what it has already seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dist import get_dist_info
from PIL import Image, UnidentifiedImageError
from torch.utils.data import Sampler
from xtuner.dataset import InternVL_V1_5_Dataset
from xtuner.dataset.internvl_dataset import total_image_token
from xtuner.utils import IGNORE_INDEX

Record = dict[str, Any]


class DataError(Exception):
    """A record or photo that cannot be trained on; the message names it."""


class DialogueDataset(InternVL_V1_5_Dataset):
    """LLaVA records of one JSON file, as tokens, labels and pixels.

    ``model_path`` gives the tokenizer and the tiling; ``template`` is XTuner's prompt template.
    """

    def __init__(
        self,
        model_path: str,
        template: dict[str, Any],
        data_path: str,
        image_folder: str,
        max_length: int,
        device_resize: bool = False,
    ) -> None:
        super().__init__(model_path, ConfigDict(template), [], [], [], max_length)
        if device_resize and self.max_dynamic_patch != 1:
            raise DataError(
                f"device_resize: {model_path} cuts a photo into tiles (max_dynamic_patch = "
                f"{self.max_dynamic_patch}); switch it off"
            )
        self.device_resize = device_resize
        self.data = json.loads(Path(data_path).read_text(encoding="utf-8"))
        if not self.data:
            raise DataError(f"{data_path} holds no records")
        self.image_folder = [image_folder] * len(self.data)
        self.group_length = self._lengths()
        # The threads that encoded the lengths do not exist in a forked loader process.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def __getitem__(self, index: int) -> Record:
        record = self.data[index]
        return {**self._item(index), "soft": self._soft(record.get("soft", {}))}

    def _item(self, index: int) -> Record:
        record = self.data[index]
        image = record.get("image")
        try:
            if image is None or not self.device_resize:
                item = self.prepare_data(index)
                if image is None:
                    item["pixel_values"] = None
                if item is not None:
                    return item
                raise DataError(f"record {record.get('id')}: {image} cannot be read")
            path = Path(self.image_folder[index], image if isinstance(image, str) else image[0])
            pixels = np.asarray(Image.open(path).convert("RGB"))
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"record {record.get('id')}: {image}: {error}") from error
        tokens = self.get_inputid_labels(record["conversations"], self._image_tokens(1))
        return {**tokens, "pixel_values": torch.from_numpy(pixels.copy()).permute(2, 0, 1)}

    def _soft(self, answers: dict[str, float]) -> list[tuple[int, float]]:
        """(token, probability) of each answer; DataError where one is not a single token."""
        found = []
        for text, probability in answers.items():
            ids = self.tokenizer.encode(text, add_special_tokens=False)
            if len(ids) != 1:
                raise DataError(f"soft answer {text!r} is {len(ids)} tokens, not one")
            found.append((ids[0], probability))
        return found

    def _image_tokens(self, tiles: int) -> str:
        context = self.IMG_CONTEXT_TOKEN * (tiles * self.patch_token)
        return f"{self.IMG_START_TOKEN}{context}{self.IMG_END_TOKEN}"

    def _lengths(self) -> list[int]:
        """Tokens of each record, negative for text-only ones (XTuner's sign for the modality)."""
        texts = [
            "\n".join(turn["value"] for turn in record["conversations"]) for record in self.data
        ]
        encodings = self.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        lengths = []
        for record, encoding in zip(self.data, encodings, strict=True):
            length = len(encoding.ids) + 1
            if record.get("image") is None:
                lengths.append(-length)
                continue
            size = record.get("image_wh")
            size = size[0] if size and isinstance(size[0], list) else size
            tiles = self.max_dynamic_patch + (self.use_thumbnail and self.max_dynamic_patch > 1)
            if size and self.max_dynamic_patch > 1:
                tiles = total_image_token(
                    size,
                    self.min_dynamic_patch,
                    self.max_dynamic_patch,
                    self.image_size,
                    self.use_thumbnail,
                )
            lengths.append(length + tiles * self.patch_token)
        return lengths


def collate(records: Sequence[Record]) -> dict[str, Any]:
    """A batch, padded on the right; photos of one shape stand together.

    ``pixels`` holds all photos end to end, uint8 or float; ``shapes`` tells how they were:
    (count, 3, h, w) or (count, tiles, 3, h, w) each, in the order of the rows. One tensor, because
    each tensor that a loader process sends costs a file descriptor and a copy to the device. The
    rows without a photo come last. ``soft_ids`` and ``soft_targets`` are (rows, answers), zeros
    where a record has fewer answers or none.
    """
    shapes = {
        index: tuple(record["pixel_values"].shape)
        for index, record in enumerate(records)
        if record["pixel_values"] is not None
    }
    groups: dict[tuple[int, ...], list[Record]] = {}
    for index, shape in shapes.items():
        groups.setdefault(shape, []).append(records[index])
    plain = [record for index, record in enumerate(records) if index not in shapes]
    ordered = [record for group in groups.values() for record in group] + plain
    width = max(len(record["input_ids"]) for record in ordered)
    input_ids = torch.zeros(len(ordered), width, dtype=torch.long)
    labels = torch.full((len(ordered), width), IGNORE_INDEX, dtype=torch.long)
    mask = torch.zeros(len(ordered), width, dtype=torch.bool)
    for row, record in enumerate(ordered):
        length = len(record["input_ids"])
        input_ids[row, :length] = torch.as_tensor(record["input_ids"])
        labels[row, :length] = torch.as_tensor(record["labels"])
        mask[row, :length] = True
    most = max(len(record["soft"]) for record in ordered)
    soft = torch.zeros(len(ordered), most, 2, dtype=torch.float64)
    for row, record in enumerate(ordered):
        if record["soft"]:
            soft[row, : len(record["soft"])] = torch.tensor(record["soft"], dtype=torch.float64)
    flat = [record["pixel_values"].flatten() for group in groups.values() for record in group]
    return {
        "data": {
            "pixels": torch.cat(flat) if flat else None,
            "shapes": [(len(group), *shape) for shape, group in groups.items()],
            "input_ids": input_ids,
            "labels": labels,
            "attention_mask": mask,
            "soft_ids": soft[..., 0].long(),
            "soft_targets": soft[..., 1].float(),
        },
        "data_samples": None,
    }


class LengthBatches(Sampler[int]):
    """Indices in ``iterations`` batches of one length, shuffled; the same for the same seed.

    Records are shuffled, cut into pools of ``POOL`` batches, sorted within a pool, cut into
    batches, and the batches shuffled; when the data ends it starts again. ``skip`` drops the first
    batches.
    """

    POOL = 50

    def __init__(
        self,
        dataset: DialogueDataset,
        batch_size: int,
        iterations: int,
        seed: int | None = None,
    ) -> None:
        self.rank, self.world = get_dist_info()
        self.lengths = torch.tensor([abs(length) for length in dataset.group_length])
        self.batch_size = batch_size
        self.seed = seed or 0
        self.skip = 0
        self.iterations = iterations

    def __len__(self) -> int:
        return self.iterations * self.batch_size

    def __iter__(self) -> Iterator[int]:
        left, drop = self.iterations, self.skip
        epoch = 0
        while left > 0:
            for batch in self._epoch(epoch)[:left]:
                left -= 1
                if drop > 0:
                    drop -= 1
                    continue
                yield from batch[self.rank :: self.world].tolist()
            epoch += 1

    def _epoch(self, epoch: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1009 + epoch)
        order = torch.randperm(len(self.lengths), generator=generator)
        whole = self.batch_size * self.world
        if len(order) < whole:  # less data than one batch: repeat it
            order = order.repeat(-(-whole // len(order)))[:whole]
        batches = []
        for pool in order.split(whole * self.POOL):
            batches += [b for b in pool[self.lengths[pool].argsort()].split(whole)]
        full = [batch for batch in batches if len(batch) == whole]
        return [full[i] for i in torch.randperm(len(full), generator=generator).tolist()]
