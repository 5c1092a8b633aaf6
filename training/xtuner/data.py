# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""XTuner's InternVL dataset, without its waste and its surprises.

What differs from ``InternVL_V1_5_Dataset``, record for record the same tokens and labels otherwise:

- a photo that cannot be read stops the run and is named (XTuner silently takes another record);
- lengths are exact, so that a batch holds records of one length and little padding;
- a record may say how likely several answers are, ``"soft": {"ramen": 0.7, "pho": 0.3}``, each one
  token: they are the target of the first answer's first token (distillation);
- tiles travel as bytes, a quarter of XTuner's floats, and are normalised beside the model;
- with ``device_resize`` a photo travels at its own size and is enlarged there, too: making tiles in
  the loader processes starves a nano model;
- a photo whose features `cache` holds does not travel at all: its features do.

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
from xtuner.dataset.internvl_dataset import dynamic_preprocess, total_image_token
from xtuner.utils import IGNORE_INDEX

from . import cache

Record = dict[str, Any]


class DataError(Exception):
    """A record or photo that cannot be trained on; the message names it."""


class DialogueDataset(InternVL_V1_5_Dataset):
    """LLaVA records of one JSON file, as tokens, labels and pixels.

    ``model_path`` gives the tokenizer and the tiling; ``template`` is XTuner's prompt template;
    ``features`` is the folder of the vision encoder's cached output, or None.
    """

    def __init__(
        self,
        model_path: str,
        template: dict[str, Any],
        data_path: str,
        image_folder: str,
        max_length: int,
        device_resize: bool = False,
        features: str | None = None,
    ) -> None:
        super().__init__(model_path, ConfigDict(template), [], [], [], max_length)
        if device_resize and self.max_dynamic_patch != 1:
            raise DataError(
                f"device_resize: {model_path} cuts a photo into tiles (max_dynamic_patch = "
                f"{self.max_dynamic_patch}); switch it off"
            )
        self.device_resize = device_resize
        self.features = Path(features) if features else None
        self.data = json.loads(Path(data_path).read_text(encoding="utf-8"))
        if not self.data:
            raise DataError(f"{data_path} holds no records")
        for record in self.data:
            check(record)
        self.image_folder = [image_folder] * len(self.data)
        self.group_length = self._lengths()
        # The threads that encoded the lengths do not exist in a forked loader process.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def __getitem__(self, index: int) -> Record:
        record = self.data[index]
        return {**self._item(index), "soft": self._soft(record.get("soft", {}))}

    def _item(self, index: int) -> Record:
        record = self.data[index]
        turns = [dict(turn) for turn in record["conversations"]]  # XTuner writes into them
        path = self.photo(index)
        if path is None:
            return self._labelled(record, self.get_inputid_labels(turns, None))
        try:
            features = cache.read(self.features, path) if self.features else None
            pixels = self.tiles(path) if features is None else None
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"record {record.get('id')}: {path}: {error}") from error
        if features is not None:
            tokens = self.get_inputid_labels(turns, self._image_tokens(len(features)))
            return {**self._labelled(record, tokens), "features": features}
        tiles = len(pixels) if pixels is not None and pixels.ndim == 4 else 1
        tokens = self.get_inputid_labels(turns, self._image_tokens(tiles))
        return {**self._labelled(record, tokens), "pixel_values": pixels}

    def _labelled(self, record: Record, tokens: Record) -> Record:
        if all(label == IGNORE_INDEX for label in tokens["labels"]):
            raise DataError(
                f"record {record.get('id')} is longer than {self.max_length} tokens before its "
                "first answer: raise data.max_length, or leave it out"
            )
        return {**tokens, "pixel_values": None, "features": None}

    def photo(self, index: int) -> Path | None:
        """The file of a record's photo."""
        image = self.data[index].get("image")
        if not image:
            return None
        return Path(self.image_folder[index], image if isinstance(image, str) else image[0])

    def tiles(self, path: Path) -> torch.Tensor:
        """Pixels as bytes: (tiles, 3, image, image), or (3, h, w) with ``device_resize``."""
        photo = Image.open(path).convert("RGB")
        if self.device_resize:
            return torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)
        cut = dynamic_preprocess(
            photo,
            self.min_dynamic_patch,
            self.max_dynamic_patch,
            self.image_size,
            self.use_thumbnail,
        )
        return torch.from_numpy(np.stack([np.asarray(tile) for tile in cut])).permute(0, 3, 1, 2)

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
        if self.tokenizer.is_fast:
            found = self.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
            counts = [len(encoding.ids) for encoding in found]
        else:  # InternVL2-2B's own, in Python
            counts = [len(self.tokenizer.encode(t, add_special_tokens=False)) for t in texts]
        lengths = []
        for record, count in zip(self.data, counts, strict=True):
            length = count + 1
            if not record.get("image"):
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


def check(record: Record) -> None:
    """Refuse what XTuner would train on wrongly, in silence; raises DataError."""
    image, name = record.get("image"), record.get("id")
    if isinstance(image, list) and len(image) != 1:
        raise DataError(f"record {name} has {len(image)} images: XTuner reads one a record")
    places = [turn["value"].count("<image>") for turn in record["conversations"]]
    spoken = sum(places[i] for i, t in enumerate(record["conversations"]) if t["from"] == "human")
    if sum(places) != spoken or spoken != bool(image):
        raise DataError(
            f"record {name}: <image> must stand once, in a human turn, where there is an image, "
            f"and nowhere else (found {sum(places)} times)"
        )


def collate(records: Sequence[Record]) -> dict[str, Any]:
    """A batch, padded on the right; photos of one shape stand together.

    ``pixels`` holds all photos end to end, uint8 or float; ``shapes`` tells how they were:
    (count, 3, h, w) or (count, tiles, 3, h, w) each, in the order of the rows. One tensor, because
    each tensor that a loader process sends costs a file descriptor and a copy to the device.
    ``features``, (tiles, tokens, width), are those of the rows that follow; the rows without a
    photo come last. ``soft_ids`` and ``soft_targets`` are (rows, answers), zeros
    where a record has fewer answers or none.
    """
    shapes = {
        index: tuple(record["pixel_values"].shape)
        for index, record in enumerate(records)
        if record.get("pixel_values") is not None
    }
    groups: dict[tuple[int, ...], list[Record]] = {}
    for index, shape in shapes.items():
        groups.setdefault(shape, []).append(records[index])
    rest = [record for index, record in enumerate(records) if index not in shapes]
    seen = [record for record in rest if record.get("features") is not None]
    plain = [record for record in rest if record.get("features") is None]
    ordered = [record for group in groups.values() for record in group] + seen + plain
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
            "features": torch.cat([record["features"] for record in seen]) if seen else None,
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
    batches, and the batches shuffled; when the data ends it starts again. The loader cuts a batch
    into ``split`` parts; ``skip`` drops the first parts.
    """

    POOL = 50

    def __init__(
        self,
        dataset: DialogueDataset,
        batch_size: int,
        iterations: int,
        seed: int | None = None,
        split: int = 1,
    ) -> None:
        self.split = split
        self.rank, self.world = get_dist_info()
        self.lengths = torch.tensor([abs(length) for length in dataset.group_length])
        self.batch_size = batch_size
        self.seed = seed or 0
        self.skip = 0
        self.iterations = iterations

    def __len__(self) -> int:
        return self.iterations * self.batch_size

    def __iter__(self) -> Iterator[int]:
        left, drop = self.iterations, self.skip * self.batch_size // self.split
        epoch = 0
        while left > 0:
            for batch in self._epoch(epoch)[:left]:
                left -= 1
                mine = batch[self.rank :: self.world].tolist()
                yield from mine[drop:]
                drop = max(0, drop - len(mine))
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
