# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""What the training process does with itself."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from training.xtuner.loop import Diverged, ProgressHook

ROOT = Path(__file__).parents[3]
#: Holds a file that children would inherit, and a child that holds it too, and gives up its place.
HOLDER = """
import multiprocessing, os, sys, time
from training.xtuner import machine
file = open(sys.argv[1], "w")
os.set_inheritable(file.fileno(), True)
loader = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
loader.start()
print(os.getpid(), loader.pid)
say = "import os; print(os.getpid()); at = '/proc/self/fd/'; "
say += "print([os.readlink(at + n) for n in os.listdir(at) if os.path.exists(at + n)])"
machine.become([sys.executable, "-c", say])
"""


def test_a_program_that_takes_our_place_inherits_neither_files_nor_children(
    tmp_path: Path,
) -> None:
    held = tmp_path / "held"
    ended = subprocess.run(
        [sys.executable, "-c", HOLDER, str(held)], cwd=ROOT, check=True, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    first, after, files = ended.stdout.splitlines()
    number, loader = first.split()
    assert after == number, "another process"
    assert str(held) not in files
    assert not Path("/proc", loader).exists()


def test_a_loss_that_is_no_number_ends_the_run_and_one_overflow_does_not(tmp_path: Path) -> None:
    """In float16 a loss overflows now and then, and that step is skipped."""
    hook = ProgressHook(str(tmp_path), samples=4, every=3)
    runner: Any = SimpleNamespace(
        iter=0,
        max_iters=6,
        rank=0,
        world_size=1,
        optim_wrapper=SimpleNamespace(get_lr=lambda: {"lr": [0.1]}),
    )
    hook.before_train(runner)

    def go_on() -> None:
        for runner.iter, loss in enumerate((1.0, math.inf, 2.0, math.nan, math.inf, math.nan)):
            hook.after_train_iter(runner, 0, outputs={"loss": torch.tensor(loss)})

    with pytest.raises(Diverged, match=r"3 iterations before the 6th: lower optimizer\.lr"):
        go_on()
    (line,) = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert json.loads(line)["loss"] == 1.5
