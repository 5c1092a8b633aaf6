"""What `foodcritic data export` writes goes through XTuner and comes back as a model."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from engine import nano
from foodcritic import cli, settings
from training import run
from training.run import Step

pytestmark = pytest.mark.timeout(1500)


def test_an_export_is_trained_on_and_the_result_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos from both ends of the format: with a photo, with its size, and text alone."""
    home, source = tmp_path / "home", tmp_path / "source"
    monkeypatch.setenv("FOODCRITIC_HOME", str(home))
    _write(source)
    for command in (
        ["db", "migrate"],
        ["data", "import", "llava", str(source / "dishes.json")],
        ["data", "export", "--out", str(tmp_path / "export")],
    ):
        done = CliRunner().invoke(cli.app, command)
        assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "export" / "train.json").read_bytes())
    assert {bool(row.get("image")) for row in rows} == {True, False}
    steps: list[Step] = []

    async def on_step(step: Step) -> None:
        steps.append(step)

    config = settings.load(home=home, engine="openvino", train_replay=source / "dishes.json")
    short = {"data.batch_size": "4", "data.iterations": "10", "data.workers": "1"}
    trained = asyncio.run(
        run.train(
            config,
            "nano-full",
            tmp_path / "export",
            tmp_path / "run",
            nano.MODEL,
            on_step=on_step,
            overrides=short | {"optimizer.lr": "1e-4"},
        )
    )
    assert steps[-1].iteration == steps[-1].iterations == 10
    assert trained.metrics["general_records"] == round(len(rows) / 4)
    assert set(trained.metrics["answers"]) == {"model", "openvino"}
    assert all(trained.metrics["answers"].values())
    assert trained.openvino is not None
    before = load_file(nano.MODEL / "model.safetensors")
    after = load_file(trained.checkpoint / "model.safetensors")
    assert before.keys() == after.keys()
    assert any((after[name] != before[name]).any() for name in before)
    # Files: Python may have compiled the model's code beside it.
    names = {file.name for file in nano.MODEL.iterdir() if file.is_file()}
    assert {file.name for file in trained.checkpoint.iterdir()} == names


def _write(folder: Path) -> None:
    """The samples as a LLaVA file."""
    folder.mkdir()
    samples = Path(__file__).parents[2] / "samples"
    records = []
    for number, photo in enumerate(sorted(samples.glob("*.jpg"))):
        (folder / photo.name).write_bytes(photo.read_bytes())
        name = photo.stem.replace("_", " ")
        turns = [
            {"from": "human", "value": "<image>\nWhat dish is this?"},
            {"from": "gpt", "value": f"{name}."},
        ]
        record = {"id": str(number), "image": photo.name, "conversations": turns}
        records.append(record if number % 2 else {**record, "image": [photo.name]})
        plain = [
            {"from": "human", "value": f"What goes well with {name}?"},
            {"from": "gpt", "value": "A glass of water."},
        ]
        records.append({"id": f"text-{number}", "conversations": plain})
    (folder / "dishes.json").write_text(json.dumps(records), encoding="utf-8")
