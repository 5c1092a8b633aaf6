"""What a run begins with: the model that serves as it was configured, and the settings to ask it.

FOODCRITIC_MODEL, or what a worker says that it serves ─▶ its name ─▶ a checkpoint folder here
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine import choice, hub, nano
from engine.datasets import DatasetError
from foodcritic import registry
from foodcritic.db import Database
from foodcritic.errors import ModelError
from foodcritic.settings import Settings


async def find(db: Database, settings: Settings) -> tuple[str, Path]:
    """The name and the checkpoint folder of what is trained: the model that serves as configured.

    Raises:
        DatasetError: it is not to be had here, or could not be judged here; with the remedy.
    """
    name = await registry.base(db)
    if choice.choose(settings).kind == "openai":
        raise DatasetError(
            f"the server at FOODCRITIC_ENGINE_URL serves {name}, and can load nothing that is "
            "trained: give the trainer FOODCRITIC_ENGINE=lmdeploy (or openvino), and as "
            "FOODCRITIC_MODEL what that server was started with"
        )
    if name == registry.NANO:
        return name, nano.MODEL
    try:
        folder = await asyncio.to_thread(hub.find, name, settings)
    except ModelError as error:
        raise DatasetError(
            f"{name} serves, and is what would be trained, but is not here ({error}): download it "
            "and set FOODCRITIC_MODEL to its folder, for workers too"
        ) from error
    if not list(folder.glob("*.safetensors")):
        raise DatasetError(
            f"{name} serves, but {folder} holds no *.safetensors, which training begins with: set "
            "FOODCRITIC_MODEL to the checkpoint that it was made from"
        )
    return name, folder


def same(began: str | None, name: str) -> None:
    """Refuse to go on with another model than the run began with; raises DatasetError."""
    if began not in (None, name):
        raise DatasetError(f"it began with {began}, and now {name} serves: train anew")


def settled(settings: Settings, name: str, folder: Path) -> Settings:
    """The settings by which exactly this model is asked: `auto` would take nano in its place."""
    if name == registry.NANO:
        return settings.model_copy(update={"engine": "openvino", "model": None})
    trusted = settings.trusted_models
    if name in trusted:
        trusted = (*trusted, str(folder))
    chosen = settings.model_copy(update={"model": name, "trusted_models": trusted})
    kind = choice.choose(chosen).kind
    if kind == "openvino":  # it knows folders only
        chosen = chosen.model_copy(update={"model": str(folder)})
    return chosen.model_copy(update={"engine": kind})
