# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""DeepSpeed without a GPU: ZeRO-2 is killed, goes on, and its checkpoint becomes a model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from conftest import Toy

from training.xtuner import base, cache, checkpoints
from training.xtuner.config import TEMPLATE
from training.xtuner.data import DialogueDataset
from training.xtuner.model import Critic, read_weights

ROOT = Path(__file__).parents[3]
#: Forward passes, and between two checkpoints; two make a step of the optimizer.
PASSES, EVERY = 12, 4


def command(toy: Toy, work: Path) -> list[str]:
    values = [f"data.iterations={PASSES}", f"save.every={EVERY}", "data.workers=0"]
    values += ["data.batch_size=4", "optimizer.lr=3e-3", "model.lora.r=8", "model.lora.alpha=16"]
    values += ["model.lora.dropout=0.0"]
    return [
        *(sys.executable, "-m", "training.xtuner.train", "critic-lora", "--deepspeed-on-cpu"),
        *("--model", str(toy.model), "--data", str(toy.data), "--images", str(toy.images)),
        *("--work", str(work), "--out", str(work / "model"), "--dtype", "fp32"),
        *(word for value in values for word in ("--set", value)),
    ]


def progress(work: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / "progress.jsonl").read_text().splitlines()]


def test_zero2_that_is_killed_goes_on_to_the_model_of_a_run_that_was_not(
    toy: Toy, tmp_path: Path
) -> None:
    """The optimizer's state, which DeepSpeed keeps apart, comes back with the weights."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # each has a core, and adds up in one order
    both = [
        subprocess.Popen(command(toy, work), cwd=ROOT, env=alone, stdout=subprocess.PIPE, text=True)
        for work in (whole, killed)
    ]
    deadline = time.monotonic() + 300
    while checkpoints.last(killed) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    both[1].send_signal(signal.SIGKILL)
    assert both[1].wait() == -signal.SIGKILL
    saved = checkpoints.last(killed)
    assert saved is not None
    assert (saved / "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt").is_file(), "ZeRO's own"
    assert not (killed / "trained").exists(), "it was killed in the middle"
    ended = subprocess.run(
        command(toy, killed), cwd=ROOT, env=alone, check=True, capture_output=True, text=True
    )
    assert f"resumed epoch: 0, iter: {saved.stem.removeprefix('iter_')}" in ended.stdout
    assert json.loads(ended.stdout.splitlines()[-1])["answers"].keys() == {"model", "adapter"}
    out, _ = both[0].communicate()
    assert both[0].returncode == 0, out
    assert progress(killed)[-1]["iteration"] == PASSES
    assert len(list(killed.glob("iter_*.pth"))) <= 2
    before = read_weights(toy.model)
    expected, found = read_weights(whole / "model"), read_weights(killed / "model")
    assert any((expected[name] != before[name]).any() for name in before), "nothing was learnt"
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)


def test_two_processes_under_zero3_see_unlike_batches_and_learn_the_same(
    toy: Toy, tmp_path: Path
) -> None:
    """Photos to look at that do not share out evenly, and batches without a photo."""
    records = [row for row in toy.records if not row.get("image")][:3] + toy.records[:8]
    data = tmp_path / "train.json"
    data.write_text(json.dumps(records), encoding="utf-8")
    small = ("data.iterations=12", "data.batch_size=1", "data.accumulate=1", "data.workers=1")
    values = (*small, "save.every=100", "optimizer.lr=1e-3")
    many = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    work = tmp_path / "work"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", *many, "training.xtuner.train", "critic-full"),
            *("--model", str(toy.model), "--data", str(data), "--images", str(toy.images)),
            *("--work", str(work), "--out", str(tmp_path / "model"), "--deepspeed-on-cpu"),
            *("--features", str(tmp_path / "features")),
            *(word for value in values for word in ("--set", value)),
        ],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stderr[-5000:]
    assert progress(work)[-1]["loss"] < 6, "less than a model that knows nothing of its 400 tokens"
    critic = Critic(
        model_path=str(base.view(toy.model, tmp_path / "view")),
        freeze_llm=True,
        freeze_visual_encoder=True,
    )
    source = DialogueDataset(str(toy.model), TEMPLATE, str(data), str(toy.images), 8192)
    (folder,) = (tmp_path / "features").iterdir()
    assert len(list(folder.iterdir())) == 7
    for photo in filter(None, map(source.photo, range(len(source)))):
        found = cache.read(folder, photo)
        assert found is not None
        torch.testing.assert_close(found, critic.look(source.tiles(photo)), rtol=0.02, atol=0.02)
