"""Running out of memory is told apart from other ends, with what might fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from training.xtuner.train import OUT_OF_MEMORY

ROOT = Path(__file__).parents[3]
#: Bytes more than an idle process that has imported everything: what a batch of 64 does not fit.
ROOM = 800_000_000

#: A training process that may take so much more than it has when everything is imported.
BOUNDED = f"""
import sys
from training.xtuner import train
import torch, xtuner.model, xtuner.tools.train
torch.nn.functional.linear(torch.ones(64, 64), torch.ones(64, 64))
lines = open("/proc/self/status")
size = next(int(line.split()[1]) for line in lines if line.startswith("VmData")) * 1024
train.main([*sys.argv[1:], "--memory-gb", str((size + {ROOM}) / 1e9)])
"""


def test_a_batch_that_does_not_fit_ends_with_a_status_of_its_own(tmp_path: Path) -> None:
    photo = str(ROOT / "samples" / "pizza.jpg")
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "pizza"}]
    record = {"id": "1", "image": photo, "conversations": turns}
    (tmp_path / "train.json").write_text(json.dumps([record] * 4), encoding="utf-8")

    values = ("data.batch_size=64", "data.iterations=2", "data.workers=0")
    command = [
        *(sys.executable, "-c", BOUNDED, "nano-full", "--out", str(tmp_path / "model")),
        *("--model", str(ROOT / "engine/nano/model"), "--images", "/"),
        *("--data", str(tmp_path / "train.json"), "--work", str(tmp_path / "work")),
        *(word for value in values for word in ("--set", value)),
    ]
    ended = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    assert ended.returncode == OUT_OF_MEMORY
    said = json.loads(ended.stdout.strip().splitlines()[-1])
    assert said["split"] == 2
    assert "memory" in said["out_of_memory"]
    assert not (tmp_path / "model").exists()
