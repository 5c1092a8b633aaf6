"""`foodcritic engine doctor`: what this machine can run, with which settings, and what is wrong."""

import importlib.metadata
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from engine import card, choice, hub, nano
from foodcritic.errors import FoodcriticError
from foodcritic.settings import Settings

GIB: Final = 2**30
#: Packages whose versions matter here.
PACKAGES: Final = ("lmdeploy", "torch", "transformers", "openvino", "openai")
#: Bytes on the disk below which a model does not fit.
DISK: Final = 10 * GIB

Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    level: Level
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything worth knowing, in order; loads no model and fetches none."""
    for name in PACKAGES:
        version = _version(name)
        if version:
            yield Finding(level="ok", text=f"{name} {version}")
    if not choice.installed():
        yield Finding(level="note", text="LMDeploy is not installed: make gpu")
    cards = card.cards()
    for one in cards:
        major, minor = one.capability
        yield Finding(
            level="ok",
            text=f"GPU {one.index}: {one.name}, {one.free / GIB:.1f} of {one.total / GIB:.1f} GiB "
            f"free, driver {one.driver}, compute capability {major}.{minor}",
        )
        if one.capability < (7, 0):
            text = f"GPU {one.index} is older than Volta: LMDeploy does not run on it"
            yield Finding(level="wrong", text=text)
    if not cards:
        yield Finding(level="note", text="no NVIDIA GPU, or no driver: answers come from the CPU")
    try:
        chosen = choice.choose(settings)
    except FoodcriticError as error:
        yield Finding(level="wrong", text=str(error))
        return
    yield Finding(level="ok", text=f"FOODCRITIC_ENGINE={settings.engine} → {chosen.kind}")
    if chosen.reason:
        yield Finding(level="note", text=chosen.reason)
    if settings.engine == "lmdeploy" and not (cards and choice.installed()):
        text = "FOODCRITIC_ENGINE=lmdeploy cannot work without a GPU and LMDeploy"
        yield Finding(level="wrong", text=text)
    elif chosen.kind == "lmdeploy":
        yield from _model(settings, cards[0])
    free = shutil.disk_usage(_existing(settings.home)).free
    if free < DISK:
        text = f"{settings.home}: only {free / GIB:.1f} GiB are free on its disk"
        yield Finding(level="note", text=text)


def _model(settings: Settings, on: card.Card) -> Iterator[Finding]:
    """The plan for the configured model, if it is on this machine."""
    model = settings.model or hub.DEFAULT
    folder = Path(model).expanduser()
    if not folder.is_dir():
        revision = settings.model_revision or "the newest commit, then always that one"
        text = f"{model} comes from {settings.model_hub} at the first start: {revision}"
        yield Finding(level="note", text=text)
        return
    try:
        plan = choice.planned(settings, model, folder, on)
    except FoodcriticError as error:
        yield Finding(level="wrong", text=str(error))
        return
    shown = ", ".join(f"{name}={value}" for name, value in asdict(plan).items() if value != {})
    yield Finding(level="ok", text=f"{'nano' if folder == nano.MODEL else model}: {shown}")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
