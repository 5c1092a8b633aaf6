"""Recipes are data: what is not a recipe is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.xtuner import config, recipe


@pytest.mark.parametrize("name", recipe.names())
@pytest.mark.parametrize("cuda", [True, False])
def test_every_recipe_renders_to_a_python_file(name: str, cuda: bool, tmp_path: Path) -> None:
    job = config.Job(
        base=tmp_path,
        model=tmp_path,
        data=tmp_path,
        images=tmp_path,
        work=tmp_path,
        records=100,
        cuda=cuda,
        cores=2,
    )
    rendered: dict[str, object] = {}
    exec(config.render(recipe.load(name), job), rendered)
    assert rendered["model"] == config.settings(recipe.load(name), job)["model"]


def test_the_tutorials_recipe_is_the_tutorials() -> None:
    """Figures of the Datawhale tutorial: r 128, alpha 256, batch 4 x 2, 3e-5, ten epochs, zero2."""
    tutorial = recipe.load("critic-lora")
    assert tutorial.model.lora == recipe.Lora(r=128, alpha=256, dropout=0.05)
    assert (tutorial.data.batch_size, tutorial.data.accumulate, tutorial.data.epochs) == (4, 2, 10)
    assert (tutorial.optimizer.lr, tutorial.optimizer.deepspeed) == (3e-5, "zero2")
    assert tutorial.save.every == 64


def test_an_override_replaces_one_value() -> None:
    chosen = recipe.load("nano-full", {"optimizer.lr": "3e-4", "data.batch_size": "8"})
    assert (chosen.optimizer.lr, chosen.data.batch_size) == (3e-4, 8)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("optimizer.speed", "1", "speed"),
        ("optimizer.lr", '"fast"', r"optimizer\.lr"),
        ("optimizer.lr", "fast", r"optimizer\.lr"),
        ("data.batch_size", "0", r"data\.batch_size"),
        ("data.batch_size", "1.5", r"data\.batch_size"),
        ("optimizer.precision", '"fp8"', r"optimizer\.precision"),
        ("model.quantize_llm", "true", r"model\.lora"),
        ("data.device_resize", "false", r"data\.device_resize"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(key: str, value: str, named: str) -> None:
    with pytest.raises(recipe.RecipeError, match=named):
        recipe.load("nano-full", {key: value})


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(recipe.RecipeError, match=r"critic-lora.*nano-full"):
        recipe.load("nothing")


def test_warm_up_of_one_step_is_left_out() -> None:
    """mmengine's ramp over one step never ends: the rate would stay at almost nothing."""
    job = config.Job(
        base=Path(),
        model=Path(),
        data=Path(),
        images=Path(),
        work=Path(),
        records=16,
        cuda=False,
        cores=2,
    )
    short = recipe.load("nano-full", {"data.batch_size": "4", "data.epochs": "4"})
    schedule = config.settings(short, job)["param_scheduler"]
    assert [part["type"] for part in schedule] == ["CosineAnnealingLR"]
