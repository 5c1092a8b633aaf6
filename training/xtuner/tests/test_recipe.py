# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Recipes are data: what is not a recipe is refused by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Toy
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATASETS,
    HOOKS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    VISBACKENDS,
    VISUALIZERS,
)
from mmengine.utils import get_object_from_string
from xtuner.configs import cfgs_name_path

from training.xtuner import base, config, recipe, train
from training.xtuner.data import LengthBatches, collate


def job_of(records: int, *, cuda: bool = False) -> config.Job:
    """Of a folder that is not looked into."""
    here = Path()
    return config.Job(
        base=here,
        model=here,
        data=here,
        images=here,
        work=here,
        records=records,
        cuda=cuda,
        cores=2,
    )


@pytest.mark.parametrize("name", recipe.names())
@pytest.mark.parametrize("cuda", [True, False])
def test_every_recipe_renders_to_a_python_file(name: str, cuda: bool) -> None:
    job = job_of(100, cuda=cuda)
    rendered: dict[str, object] = {}
    exec(config.render(recipe.load(name), job), rendered)
    assert rendered["model"] == config.settings(recipe.load(name), job)["model"]


@pytest.mark.parametrize("name", recipe.names())
def test_xtuner_loads_what_is_rendered_and_its_parts_are_built(
    name: str, toy: Toy, tmp_path: Path
) -> None:
    """By mmengine's own reader and registries; what needs a GPU is looked up, not built."""
    job = config.Job(
        base=toy.model,
        model=base.view(toy.model, tmp_path / "base"),
        data=toy.data,
        images=toy.images,
        work=tmp_path,
        records=len(toy.records),
        cuda=False,
        cores=2,
    )
    chosen = recipe.load(name)
    for cuda in (True, False):
        text = config.render(chosen, dataclasses.replace(job, cuda=cuda))
        path = tmp_path / "rendered.py"
        path.write_text(text, encoding="utf-8")
        loaded = Config.fromfile(path)
        for part in _types(loaded.to_dict()):
            found = get_object_from_string(part) if "." in part else _registered(part)
            assert found is not None, part
    if chosen.optimizer.deepspeed:
        assert f"deepspeed_{chosen.optimizer.deepspeed}" in cfgs_name_path
    if chosen.model.quantize_llm:
        return  # bitsandbytes 0.45 packs four bits on a GPU only
    model = MODELS.build(loaded.model)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert any("mlp1" in n for n in trained)
    assert any("lora_" in n for n in trained) is (chosen.model.lora is not None)
    assert any("vision_model" in n for n in trained) is not chosen.model.freeze_vision
    dataset = DATASETS.build(loaded.train_dataloader.dataset)
    sampler = LengthBatches(dataset, chosen.data.batch_size, 2)
    batch = collate([dataset[i] for i in list(sampler)[:2]])
    assert torch.isfinite(model(**batch)["loss"])
    wrapped = build_optim_wrapper(model, loaded.optim_wrapper)
    assert wrapped._accumulative_counts == chosen.data.accumulate


def test_four_bits_without_a_gpu_are_refused_by_name(toy: Toy, tmp_path: Path) -> None:
    given = {"--model": toy.model, "--data": toy.data, "--images": toy.images}
    words = [str(word) for pair in given.items() for word in pair]
    with pytest.raises(SystemExit, match=r"meme-qlora .*NVIDIA GPU only.* take critic-lora"):
        train.main(["meme-qlora", *words, "--work", str(tmp_path), "--out", str(tmp_path / "x")])


def _types(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield node["type"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _types(child)


def _registered(name: str) -> Any:
    """mmengine's and torch's classes, by their short names."""
    places = (HOOKS, OPTIM_WRAPPERS, OPTIMIZERS, PARAM_SCHEDULERS, VISUALIZERS, VISBACKENDS)
    return next((found for place in places if (found := place.get(name))), None)


def test_the_tutorials_recipe_is_the_tutorials() -> None:
    """Figures of the Datawhale tutorial: r 128, alpha 256, batch 4 x 2, 3e-5, ten epochs, zero2."""
    tutorial = recipe.load("critic-lora")
    assert tutorial.model.lora == recipe.Lora(r=128, alpha=256, dropout=0.05)
    assert (tutorial.data.batch_size, tutorial.data.accumulate, tutorial.data.epochs) == (4, 2, 10)
    assert (tutorial.optimizer.lr, tutorial.optimizer.deepspeed) == (3e-5, "zero2")
    assert tutorial.save.every == 64


@pytest.mark.parametrize(("records", "fused"), [(150, False), (160, True)])
def test_layers_are_fused_in_long_runs_alone(records: int, fused: bool) -> None:
    """Four records at a time, ten times."""
    job, critic = job_of(records, cuda=True), recipe.load("critic-lora")
    for split in (1, 2):
        settings = config.settings(critic, dataclasses.replace(job, split=split))
        assert settings["model"]["compile"] is fused


def test_an_override_replaces_one_value() -> None:
    chosen = recipe.load("nano-full", {"optimizer.lr": "3e-4", "data.batch_size": "8"})
    assert (chosen.optimizer.lr, chosen.data.batch_size) == (3e-4, 8)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("optimizer.speed", "1", "speed"),
        ("optimizer.lr", '"fast"', r"optimizer\.lr"),
        ("optimizer.lr", "fast", r"optimizer\.lr"),
        ("optimizer.lr", "-1e-4", r"optimizer\.lr cannot be -0\.0001"),
        ("optimizer.lr", "nan", r"optimizer\.lr cannot be nan"),
        ("optimizer.lr.x", "1", "lr is a value"),
        ("optimizer.warmup_ratio", "1.0", r"optimizer\.warmup_ratio"),
        ("data.epochs", "0", r"data\.epochs"),
        ("data.epochs", "inf", r"data\.epochs"),
        ("data.iterations", "0", r"data\.iterations"),
        ("data.accumulate", "0", r"data\.accumulate"),
        ("data.batch_size", "0", r"data\.batch_size"),
        ("data.batch_size", "1.5", r"data\.batch_size"),
        ("optimizer.precision", '"fp8"', r"optimizer\.precision"),
        ("model.quantize_llm", "true", r"model\.lora"),
        ("data.device_resize", "false", r"data\.device_resize"),
        ("model.share", "0.0", r"model\.share"),
        ("model.share", "1.5", r"model\.share"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(key: str, value: str, named: str) -> None:
    with pytest.raises(recipe.RecipeError, match=named):
        recipe.load("nano-full", {key: value})


def test_an_adapter_is_weakened_by_its_alpha_alone() -> None:
    with pytest.raises(recipe.RecipeError, match="alpha"):
        recipe.load("critic-lora", {"model.share": "0.8"})


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(recipe.RecipeError, match=r"critic-lora.*nano-full"):
        recipe.load("nothing")


def test_warm_up_of_one_step_is_left_out() -> None:
    """mmengine's ramp over one step never ends: the rate would stay at almost nothing."""
    short = recipe.load("nano-full", {"data.batch_size": "4", "data.epochs": "4"})
    schedule = config.settings(short, job_of(16))["param_scheduler"]
    assert [part["type"] for part in schedule] == ["CosineAnnealingLR"]
