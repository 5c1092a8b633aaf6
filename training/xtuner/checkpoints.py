# mypy: disable-error-code="import-not-found,misc"
"""What a run saves: written beside, renamed when it is whole, named last; then the oldest goes.

    iter_8.pth.part ─▶ on the disk ─▶ iter_8.pth ─▶ last_checkpoint ─▶ iter_4.pth removed

mmengine removes the oldest first, writes under the final name, and keeps the whole file twice in
memory while it does. Whatever ends a run here, the disk, the memory or a kill, the checkpoint that
``last_checkpoint`` names is whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import runner as mmengine_runner

#: Names the newest whole checkpoint.
POINTER = "last_checkpoint"
#: Ends the name of what is being written.
PART = ".part"


class WholeCheckpoints(CheckpointHook):
    """mmengine's hook, but no moment leaves less than a whole checkpoint behind."""

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        folder = Path(self.out_dir)
        name = self.filename_tmpl.format(step)
        part = folder / f"{name}{PART}"
        try:
            with _straight_to_disk():
                runner.save_checkpoint(
                    str(folder), part.name, save_optimizer=True, meta=meta, by_epoch=False
                )
        except BaseException:
            _remove(part)  # its room may be what is missing
            raise
        self.last_ckpt = str(folder / name)
        barrier()  # each process writes its share of DeepSpeed's folder
        if is_main_process():
            _settle(part, folder / name)
            _point(folder, folder / name)
            whole = sorted(_all(folder), key=lambda path: path.stat().st_mtime_ns)
            for old in whole[: -self.max_keep_ckpts]:
                _remove(old)
        barrier()  # nobody looks for it before


def last(work: Path) -> Path | None:
    """The newest whole checkpoint of a run: a file, or DeepSpeed's folder; None: there is none."""
    try:
        named = (work / POINTER).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    path = work / Path(named).name  # the folder may have been moved
    return path if named and path.exists() else None


def tidy(work: Path) -> None:
    """Remove what a run that died left besides its last whole checkpoint."""
    kept = last(work)
    for path in work.glob("iter_*"):
        if path != kept:
            _remove(path)


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.glob("iter_*") if path.suffix != PART]


def _settle(part: Path, path: Path) -> None:
    """Give `part` its name once the disk has it: a power cut shall find all of it, or none."""
    files = [file for file in part.rglob("*") if file.is_file()] if part.is_dir() else [part]
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    _remove(path)  # of the same number, by a run in other parts; never the last one
    part.rename(path)


def _point(folder: Path, path: Path) -> None:
    part = folder / f"{POINTER}{PART}"
    with part.open("w", encoding="utf-8") as file:
        file.write(str(path))
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / POINTER)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _straight_to_disk() -> Iterator[None]:
    """mmengine writes a checkpoint into memory, copies that, and writes the copy: leave that out.

    A file of Python's, not a path: what it raises says why it cannot be written.
    """

    def write(checkpoint: Any, filename: str, *_: Any, **__: Any) -> None:
        with Path(filename).open("wb") as file:
            torch.save(checkpoint, file)

    before = mmengine_runner.save_checkpoint
    mmengine_runner.save_checkpoint = write
    try:
        yield
    finally:
        mmengine_runner.save_checkpoint = before
