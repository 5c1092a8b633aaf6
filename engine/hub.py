"""Models by name: found or fetched from Hugging Face or ModelScope, always the same files.

```
 FOODCRITIC_MODEL ─┬─ a folder: as it is
                   └─ ORG/NAME ─▶ FOODCRITIC_MODEL_REVISION, else the commit of the first time
                                  ─▶ downloaded once into models/hub; models/pins.json says that
                                     all of it is there, and which commit it is
```
"""

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from engine import nano
from foodcritic.errors import ModelError
from foodcritic.settings import Settings

#: The model of a GPU, unless set otherwise.
DEFAULT = "OpenGVLab/InternVL2-2B"
#: ORG/NAME, as both hubs spell it.
NAME = re.compile(r"[\w.-]+/[\w.-]+")
#: Weights that other programs read, and pickles, which can run code: not fetched.
IGNORED = (
    *("*.pth", "*.pt", "*.pkl", "*.ckpt", "pytorch_model*.bin", "*.bin.index.json"),
    *("*.gguf", "*.onnx", "examples/*"),
)


def local(model: str) -> Path:
    """Where a model lies if it is a folder."""
    return Path(model).expanduser()


def called(model: str, folder: Path) -> str:
    """What people see of a model."""
    is_nano = folder.resolve() == nano.MODEL.resolve()
    return "nano" if is_nano else model.rstrip("/").rpartition("/")[2]


def find(model: str, settings: Settings) -> Path:
    """The folder of a model, fetched if need be.

    Raises:
        ModelError: there is no such folder or name, or it cannot be fetched.
    """
    folder = local(model)
    if folder.is_dir():
        return folder
    if not NAME.fullmatch(model) or model.startswith("."):
        raise ModelError(f"{model} is neither a model folder nor a name like {DEFAULT}")
    pins = settings.models / "pins.json"
    known = _pins(pins)
    revision = settings.model_revision
    key = _key(model, settings)
    pinned = known.get(key)
    fetch = _modelscope if settings.model_hub == "modelscope" else _huggingface
    try:
        found, commit = fetch(model, revision, pinned, settings.models / "hub")
    except ModelError:
        raise
    except Exception as error:  # hubs raise anything: no network, no such name, no permission
        reason = str(error).strip().splitlines()
        raise ModelError(
            f"{model} cannot be had from {settings.model_hub}: {(reason or [repr(error)])[0][:200]}"
        ) from error
    if commit != pinned:
        _write(pins, known | {key: commit})
    return found


def trusted(model: str, folder: Path, settings: Settings) -> bool:
    """Whether the model's own Python code may run here: nano's, and what the operator lists."""
    return (
        folder.resolve() == nano.MODEL.resolve()
        or model in settings.trusted_models
        or any(
            Path(name).expanduser().resolve() == folder.resolve()
            for name in settings.trusted_models
            if Path(name).expanduser().is_dir()
        )
    )


def kept(model: str, settings: Settings) -> Path | None:
    """The folder of a model that is on this machine already; asks no network."""
    folder = local(model)
    if folder.is_dir():
        return folder
    pinned = _pins(settings.models / "pins.json").get(_key(model, settings))
    if pinned is None or settings.model_hub != "huggingface":
        return None
    folder = settings.models / "hub" / f"models--{model.replace('/', '--')}" / "snapshots" / pinned
    return folder if folder.is_dir() else None


def _key(model: str, settings: Settings) -> str:
    revision = settings.model_revision
    return f"{settings.model_hub}:{model}" + (f"@{revision}" if revision else "")


def brings_code(folder: Path) -> bool:
    """Whether the folder's config.json or tokenizer wants Python code to run."""
    return bool(_code(folder))


def borrows_code(folder: Path) -> str:
    """Another repository whose code the folder wants to run, "" for none: no commit pins that."""
    return next((name.partition("--")[0] for name in _code(folder) if "--" in name), "")


def _code(folder: Path) -> list[str]:
    """The classes that a folder wants to load from Python files: file.Class."""
    found = list[str]()
    for name in ("config.json", "tokenizer_config.json"):
        try:
            settings = json.loads((folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        wanted = settings.get("auto_map") if isinstance(settings, dict) else None
        for one in wanted.values() if isinstance(wanted, dict) else [wanted]:
            found += [str(each) for each in (one if isinstance(one, list) else [one]) if each]
    return found


def _huggingface(
    model: str, revision: str | None, pinned: str | None, cache: Path
) -> tuple[Path, str]:
    """The folder and its commit; only a pinned one is whole for sure, and asks no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fetch(*, local: bool) -> str:
        return str(
            snapshot_download(
                model,
                revision=pinned or revision,
                cache_dir=cache,
                ignore_patterns=list(IGNORED),
                local_files_only=local,
            )
        )

    try:
        path = fetch(local=pinned is not None)
    except LocalEntryNotFoundError:  # somebody deleted it
        path = fetch(local=False)
    return Path(path), Path(path).name


def _modelscope(
    model: str, revision: str | None, pinned: str | None, cache: Path
) -> tuple[Path, str]:
    """The folder and the revision: this hub's client tells no commit, so the files are kept."""
    try:
        from modelscope import snapshot_download
    except ImportError as error:
        raise ModelError(
            "FOODCRITIC_MODEL_HUB=modelscope needs the modelscope package: make gpu"
        ) from error

    def fetch(*, local: bool) -> str:
        return str(
            snapshot_download(
                model,
                revision=revision,
                cache_dir=str(cache),
                ignore_patterns=list(IGNORED),
                local_files_only=local,
            )
        )

    if pinned is not None:
        with contextlib.suppress(Exception):  # not there any more, which it says in its own ways
            return Path(fetch(local=True)), pinned
    return Path(fetch(local=False)), revision or "master"


def _pins(file: Path) -> dict[str, str]:
    try:
        loaded: Any = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} is unreadable: {error}; mend or delete it") from error
    if not isinstance(loaded, dict):
        raise ModelError(f"{file} is no JSON object: mend or delete it")
    return {str(name): str(commit) for name, commit in loaded.items()}


def _write(file: Path, pins: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as part:
        json.dump(pins, part, indent=1, sort_keys=True)
    os.replace(part.name, file)  # noqa: PTH105
