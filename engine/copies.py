"""Copies of checkpoints in 8 bits, under FOODCRITIC_HOME: made once, used again, thrown away.

```
 models/8bit/lock          one makes, or tidies up, at a time; the kernel lets go when it dies
 models/8bit/.new-…        being written: appears under its name once it is whole
 models/8bit/<hash>/       a copy; its name is a hash of what it was made from
         copied.json       of what, and how large its files are; locked by whoever uses the copy
 models/8bit/failed.json   which models were last loaded in 16 bits after all, and why
```

A copy whose checkpoint is gone or has changed is removed, and beyond `KEPT` the one longest unused,
but none that somebody uses.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from engine import blocks, fp8, text
from foodcritic.errors import ModelError

#: Raise it when `engine.blocks` writes something else.
VERSION: Final = 1
#: Copies that are kept: two models', and the versions before.
KEPT: Final = 4
#: Bytes that a disk must have left once the copy is there.
LEFT: Final = 2**30
NOTE: Final = "copied.json"
FAILED: Final = "failed.json"


@contextlib.contextmanager
def held(folder: Path, models: Path, dtype: str) -> Iterator[Path]:
    """The copy of a checkpoint in 8 bits, made if need be, and not removed meanwhile.

    Making it reads all weights: seconds on a GPU. Whoever wants it at the same time waits.

    Raises:
        ModelError: it cannot be made; the message says why, and what to do.
    """
    with contextlib.ExitStack() as files:
        try:
            with _alone(models / "8bit") as root:
                copy = root / key(folder, dtype)
                if not _whole(copy):
                    _tidy(root, copy)
                    _make(folder, copy, dtype)
                os.utime(copy / NOTE)
                _tidy(root, copy)
                used = files.enter_context((copy / NOTE).open("rb"))
                fcntl.flock(used, fcntl.LOCK_SH)
        except (OSError, RuntimeError, ImportError) as error:  # torch's are such
            said = f"no copy of {folder.name} in 8 bits: {error}"
            raise ModelError(f"{said}; mend that, or set FOODCRITIC_WEIGHT_BITS=16") from error
        yield copy


def there(folder: Path, models: Path, dtype: str) -> Path | None:
    """The copy, if it has been made."""
    with contextlib.suppress(OSError):
        if _whole(copy := models / "8bit" / key(folder, dtype)):
            return copy
    return None


def told(models: Path, model: str, why: str | None) -> None:
    """Keep why a model that should run in 8 bits could not; None: it does. For `failure`."""
    file = models / "8bit" / FAILED
    known = _failures(models)
    if why is None and model not in known:
        return
    known.pop(model, None)
    if why is not None:
        known[model] = f"{why} ({time.strftime('%Y-%m-%d %H:%M')})"
    with contextlib.suppress(OSError):  # a full disk may be why
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{FAILED}.{os.getpid()}")
        part.write_text(json.dumps(known, indent=1), "utf-8")
        part.replace(file)


def failure(models: Path, model: str) -> str:
    """Why a model could not run in 8 bits when it was last started; "": it could, or never was."""
    return str(_failures(models).get(model, ""))


def _failures(models: Path) -> dict[str, Any]:
    try:
        return text.read(models / "8bit" / FAILED)
    except ModelError:
        return {}


def room(folder: Path, models: Path) -> None:
    """Nothing, if the disk has room for a copy.

    Raises:
        ModelError: it has not; how much it needs.
    """
    need = fp8.size(folder, text.read(folder / "config.json")) + LEFT
    place = models
    while not place.exists():
        place = place.parent
    if (free := shutil.disk_usage(place).free) < need:
        raise ModelError(
            f"a copy of {folder.name} in 8 bits needs {need / 2**30:.1f} GiB on the disk of "
            f"{models}, {free / 2**30:.1f} are free: free some, or set FOODCRITIC_WEIGHT_BITS=16"
        )


def key(folder: Path, dtype: str) -> str:
    """The name of a checkpoint's copy: another one when a file of it changed.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256(f"{VERSION} {dtype} {folder.resolve()}\n".encode())
    for file in sorted(folder.iterdir()):
        if file.is_file():
            told = file.stat()
            digest.update(f"{file.name} {told.st_size} {told.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[Path]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root


def _make(folder: Path, copy: Path, dtype: str) -> None:
    """Write the copy; it appears whole or not at all."""
    room(folder, copy.parent)
    part = Path(tempfile.mkdtemp(dir=copy.parent, prefix=".new-"))
    try:
        blocks.write(folder, part, dtype)
        sizes = {file.name: file.stat().st_size for file in sorted(part.iterdir())}
        told = {"source": str(folder.resolve()), "dtype": dtype, "files": sizes}
        (part / NOTE).write_text(json.dumps(told, indent=1), "utf-8")
        if key(folder, dtype) != copy.name:
            raise ModelError(f"{folder} changed while it was copied: start again")
        if copy.exists():  # what is left of one
            copy.rename(part.with_name(f".old-{copy.name}-{os.getpid()}"))
        part.rename(copy)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _whole(copy: Path) -> bool:
    """Whether a copy is there, and its files as long as they were."""
    sizes = _note(copy).get("files")
    try:
        return isinstance(sizes, dict) and all(
            (copy / str(name)).stat().st_size == size for name, size in sizes.items()
        )
    except OSError:
        return False


def _note(copy: Path) -> dict[str, Any]:
    try:
        return text.read(copy / NOTE)
    except ModelError:
        return {}


def _tidy(root: Path, keep: Path) -> None:
    """Remove what nobody needs any more, and what killed processes left."""
    found = list[tuple[float, Path]]()
    for one in root.iterdir():
        if one == keep or not one.is_dir():
            continue
        if one.name.startswith(".") or _stale(one):
            _remove(one)
        else:
            found.append(((one / NOTE).stat().st_mtime, one))
    for _, one in sorted(found, reverse=True)[KEPT - 1 :]:
        _remove(one)


def _stale(copy: Path) -> bool:
    """Whether the copy's checkpoint is another one now, or gone."""
    told = _note(copy)
    try:
        return key(Path(str(told["source"])), str(told["dtype"])) != copy.name
    except (KeyError, OSError):
        return True


def _remove(copy: Path) -> None:
    """Remove a copy, unless it is in use."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as files:
        if (copy / NOTE).is_file():
            used: IO[bytes] = files.enter_context((copy / NOTE).open("rb"))
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = copy.with_name(f".old-{copy.name}-{os.getpid()}")
            copy.rename(gone)
            copy = gone
        shutil.rmtree(copy)
