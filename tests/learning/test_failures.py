"""Real XTuner runs out of memory and of disk wherever it can: the run goes on from what is whole.

Its Python is told by a `sitecustomize.py` of ours when to fail; nothing of the product knows.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from engine import nano
from foodcritic import settings
from training import run
from training.environment import TrainingError
from training.run import Step

pytestmark = pytest.mark.timeout(600)
SAMPLES = Path(__file__).parents[2] / "samples"
#: Forward passes of a whole batch, and between two checkpoints.
PASSES, EVERY = 4, 2

#: Wraps one function of each module when that is imported, and fails as ``plan.json`` says: each
#: start of the child takes the next entry, [where, which call, how].
SITE = """
import errno, importlib.abc, importlib.machinery, json, pathlib, sys
here = pathlib.Path(__file__).parent
WHERE = {
    "step": ("training.xtuner.model", "Critic._loss"),
    "save": ("training.xtuner.checkpoints", "torch.save"),
    "check": ("training.xtuner.check", "ask"),
}

def broken(how):
    import torch
    return {
        "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        "cpu": MemoryError(),
        "disk": OSError(errno.ENOSPC, "No space left on device"),
    }[how]

class Torn:
    def __init__(self, file, how): self.file, self.how, self.left = file, how, 3
    def write(self, data):
        self.left -= 1
        if not self.left: raise broken(self.how)
        return self.file.write(data)
    def __getattr__(self, name): return getattr(self.file, name)

def breaking(module, dotted, where, call, how):
    owner = module
    *parents, name = dotted.split(".")
    for parent in parents: owner = getattr(owner, parent)
    real, calls = getattr(owner, name), []
    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) != call: return real(*args, **kwargs)
        if where != "save": raise broken(how)
        value, file = args
        return real(value, Torn(file, how))
    setattr(owner, name, wrapped)

class After(importlib.abc.MetaPathFinder):
    def __init__(self, where, call, how):
        self.given = (where, call, how)
        self.module, self.dotted = WHERE[where]
    def find_spec(self, name, path, target=None):
        if name != self.module: return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            where, call, how = self.given
            breaking(module, self.dotted, where, call, how)
        spec.loader.exec_module = exec_module
        return spec

if "training.xtuner.train" in sys.orig_argv:
    plan = json.loads((here / "plan.json").read_text())
    if plan:
        (here / "plan.json").write_text(json.dumps(plan[1:]))
        sys.meta_path.insert(0, After(*plan[0]))
"""


class Failing:
    """Trains nano on the samples while `plan` fails it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "run" / "work"
        self.said: list[str] = []
        #: Each step's number, and of how many.
        self.steps: list[tuple[int, int]] = []

    def train(self, *plan: tuple[str, int, str]) -> run.Trained:
        (self.folder / "plan.json").write_text(json.dumps(plan))
        config = settings.load(home=self.folder / "home", engine="lmdeploy")
        values = {"batch_size": 4, "iterations": PASSES, "workers": 0}
        overrides = {f"data.{name}": str(value) for name, value in values.items()}

        async def on_step(step: Step) -> None:
            self.steps.append((step.iteration, step.iterations))

        return asyncio.run(
            run.train(
                config,
                "nano-corrections",
                self.folder,
                self.folder / "run",
                nano.MODEL,
                on_step=on_step,
                say=self.said.append,
                overrides=overrides | {"save.every": str(EVERY), "optimizer.lr": "1e-4"},
            )
        )

    @property
    def resumed(self) -> list[int]:
        """The iterations that runs went on from, as they had saved them."""
        log = (self.work / "train.log").read_text("utf-8")
        lines = [line for line in log.splitlines() if "resumed epoch" in line]
        return [int(line.rpartition("iter: ")[2]) for line in lines]

    @property
    def saved(self) -> list[str]:
        """What lies there of checkpoints, whole or not."""
        return sorted(path.name for path in self.work.glob("*iter_*"))


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Failing:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    turns = [{"from": "human", "value": "<image>\nWhat dish is this?"}]
    rows = [
        {"id": p.stem, "image": p.name, "conversations": [*turns, {"from": "gpt", "value": p.stem}]}
        for p in sorted(SAMPLES.glob("*.jpg"))
    ]
    for photo in SAMPLES.glob("*.jpg"):
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    (tmp_path / "train.json").write_text(json.dumps(rows))
    return Failing(tmp_path)


def test_out_of_memory_at_any_moment_ends_in_a_trained_model(failing: Failing) -> None:
    """In the first step, in the middle of a save, and when the result is merged and asked."""
    trained = failing.train(
        ("step", 1, "gpu"),  # nothing was saved yet
        ("save", 2, "cpu"),  # in 2 parts: one checkpoint is whole, the next is torn
        ("check", 1, "gpu"),  # in 4 parts, to the end: the result does not fit beside all that
    )
    assert [line for line in failing.said if line.startswith("out of memory")] == [
        "out of memory: going on with batches in 2 parts",
        "out of memory: going on with batches in 4 parts",
        "out of memory: going on in a new process",
    ]
    assert failing.resumed == [4], "from the whole one, and what is trained is not trained again"
    assert failing.steps[-1] == (16, 16)
    assert trained.metrics["parts"] == 4
    assert trained.metrics["answers"]["model"]
    assert failing.saved == ["iter_16.pth", "iter_4.pth"], "16 of 4 parts, 4 of 2"
    before = load_file(nano.MODEL / "model.safetensors")
    after = load_file(trained.checkpoint / "model.safetensors")
    assert any((after[name] != before[name]).any() for name in before)


def test_after_a_full_disk_or_a_kill_in_a_save_a_run_goes_on_from_what_is_whole(
    failing: Failing,
) -> None:
    with pytest.raises(TrainingError, match=r"No space left on device; .* GB are free .*make room"):
        failing.train(("save", 2, "disk"))
    assert failing.saved == ["iter_2.pth"], "what is torn gives its room back"
    (failing.work / "iter_4.pth.part").write_bytes(b"what a kill leaves")
    trained = failing.train()
    assert failing.resumed == [2]
    assert failing.steps[-1] == (4, 4)
    assert failing.saved == ["iter_2.pth", "iter_4.pth"]
    assert trained.metrics["parts"] == 1
