# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Real XTuner on a CPU: it learns, its model loads again, and a killed run goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from conftest import Toy
from transformers import AutoModel

from training.xtuner import checkpoints
from training.xtuner.data import collate
from training.xtuner.model import Critic, read_weights
from training.xtuner.train import CONFIG

ROOT = Path(__file__).parents[3]


def command(toy: Toy, work: Path, *settings: str) -> list[str]:
    values = ["data.batch_size=8", "data.workers=1", "optimizer.lr=2e-3", *settings]
    return [
        *(sys.executable, "-m", "training.xtuner.train", "nano-full"),
        *("--model", str(toy.model), "--data", str(toy.data), "--images", str(toy.images)),
        *("--work", str(work), "--out", str(work / "model"), "--dtype", "fp32"),
        *(word for value in values for word in ("--set", value)),
    ]


def progress(work: Path) -> list[dict[str, Any]]:
    path = work / "progress.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_loss_falls_and_the_merged_folder_loads_and_answers(toy: Toy, tmp_path: Path) -> None:
    subprocess.run(command(toy, tmp_path, "data.epochs=14"), cwd=ROOT, check=True)
    seen = progress(tmp_path)
    assert seen[-1]["loss"] < 0.2 * seen[0]["loss"]
    assert seen[-1]["iteration"] == seen[-1]["iterations"] == 112
    assert len(list(tmp_path.glob("iter_*.pth"))) == 1
    model = AutoModel.from_pretrained(tmp_path / "model", trust_remote_code=True)
    assert torch.isfinite(model.mlp1[1].weight).all()
    before = {file.name for file in toy.model.iterdir()}
    after = {file.name for file in (tmp_path / "model").iterdir()}
    assert after == before | {"chat_template.jinja"}
    losses = [_loss(folder, toy) for folder in (toy.model, tmp_path / "model")]
    assert losses[1] < 0.2 * losses[0]


def test_a_run_killed_in_the_middle_ends_with_the_weights_of_one_that_was_not(
    toy: Toy, tmp_path: Path
) -> None:
    settings = ("data.augment=false", "data.epochs=3", "save.every=4", "data.workers=0")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(toy, whole, *settings), cwd=ROOT, check=True)
    running = subprocess.Popen(command(toy, killed, *settings), cwd=ROOT)
    deadline = time.monotonic() + 120
    while checkpoints.last(killed) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (killed / "model").exists()
    subprocess.run(command(toy, killed, *settings), cwd=ROOT, check=True)
    assert len(list(killed.glob("iter_*.pth"))) <= 2
    expected, found = read_weights(whole / "model"), read_weights(killed / "model")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)


def test_a_work_folder_of_another_run_is_refused(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "iter_1.pth").touch()
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_1.pth"))
    (tmp_path / CONFIG).parent.mkdir()
    (tmp_path / CONFIG).write_text("model = None\n")
    refused = subprocess.run(
        command(toy, tmp_path), cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert refused.returncode != 0
    assert "another recipe or data" in refused.stderr


def _loss(folder: Path, toy: Toy) -> float:
    from test_data import dataset

    rows = dataset(toy)
    model = Critic(model_path=str(folder), weights="fp32").eval()
    with torch.no_grad():
        value: float = model(**collate([rows[i] for i in range(8)]))["loss"].item()
    return value
