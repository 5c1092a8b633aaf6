"""What the training process does with itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
