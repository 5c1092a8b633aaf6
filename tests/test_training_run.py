"""A run as seen from outside: what is refused before it starts, and what a child's end leads to.

The child is a program that speaks as training's own Python does; XTuner itself is run by
`make test-training`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from engine import nano
from foodcritic import settings as settings_
from foodcritic.settings import Settings
from training import environment, general, room, run
from training.environment import Environment, Gpu, TrainingError
from training.run import Step

#: A Python of training's, with one GPU or none, that does as plan.json beside it says.
CHILD = """#!{python}
import json, os, pathlib, signal, subprocess, sys, time
here = pathlib.Path(__file__).parent
plan = json.loads((here / "plan.json").read_text())
if sys.argv[1] == "-c":
    print(json.dumps(plan["probe"])); sys.exit()
def after(name): return sys.argv[sys.argv.index(name) + 1]
with (here / "calls").open("a") as calls: calls.write(json.dumps(sys.argv[1:]) + "\\n")
if "--check" in sys.argv:
    print(plan.get("checked", "")); sys.exit("checked" in plan)
work, split = pathlib.Path(after("--work")), int(after("--split"))
line = dict(iteration=1, iterations=2, loss=0.5, lr=0.1, samples_per_second=1.0, seconds_left=1.0,
            memory_mb=None)
if plan.get("hangs"):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (here / "pids").write_text(json.dumps([os.getpid(), other.pid]))
with (work / "progress.jsonl").open("a") as file:
    file.write(json.dumps(line) + "\\n")
    file.write('{{"iteration": 2')
time.sleep(600 if plan.get("hangs") else 0)
if split < plan.get("fits", 1):
    print(json.dumps(dict(out_of_memory="no room", split=split * 2 if split < 4 else None)))
    sys.stdout.flush(); os._exit(77)
if plan.get("says"):
    print(plan["says"]); sys.exit(1)
import shutil
shutil.copytree(plan["model"], after("--out"))
said = dict(checkpoint="x", model=after("--out"), adapter=None, answers=dict(model="ja"))
print(json.dumps(said))
"""
PROBE = {
    "torch": "2.6.0+cu124",
    "xtuner": "0.2.0",
    "mmengine": "0.10.6",
    "transformers": "4.48.0",
    "deepspeed": "0.16.2",
    "peft": "0.18",
    "safetensors": "0.6",
    "timm": "1.0",
    "gpus": [],
}

Go = Callable[..., Coroutine[Any, Any, run.Trained]]


@pytest.fixture
def go(tmp_path: Path) -> Go:
    """Runs `train` with a child that follows a plan."""
    python = tmp_path / "python"
    python.write_text(CHILD.format(python=sys.executable))
    python.chmod(0o755)
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.json").write_text("[]")

    async def train(
        probe: dict[str, Any] | None = None,
        on_step: Any = None,
        values: dict[str, Any] | None = None,
        **plan: Any,
    ) -> run.Trained:
        plan |= {"probe": PROBE | (probe or {}), "model": str(nano.MODEL)}
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        settings = settings_.load(
            home=tmp_path / "home", train_python=python, engine="lmdeploy", **(values or {})
        )

        async def nothing(step: Step) -> None:
            steps.append(step)

        steps: list[Step] = []
        made = await run.train(
            settings, "nano-full", data, tmp_path / "out", nano.MODEL, on_step=on_step or nothing
        )
        assert steps or on_step
        return made

    return train


@pytest.mark.parametrize(
    ("plan", "recipe", "why"),
    [
        ({"checked": "noise\ntrain: nano-full: unknown key 'epoch'"}, "nano-full", "unknown key"),
        ({"checked": "ImportError: no xtuner"}, "nano-full", r"status 1:\nImportError: no xtuner"),
        ({"probe": PROBE | {"torch": "1.13"}}, "nano-full", "is not 2.6 to 2.11"),
        ({}, "nano-ful", "no recipe 'nano-ful'.*there are critic-full"),
    ],
)
async def test_what_cannot_begin_is_said_with_the_remedy(
    tmp_path: Path, go: Go, plan: dict[str, Any], recipe: str, why: str
) -> None:
    """Before anything is made for it."""
    (tmp_path / "plan.json").write_text(json.dumps({"probe": PROBE} | plan))
    settings = settings_.load(home=tmp_path / "home", train_python=tmp_path / "python")
    with pytest.raises(TrainingError, match=why):
        await run.check(settings, recipe, tmp_path, nano.MODEL, overrides={"data.epoch": "3"})
    if recipe == "nano-full" and "checked" in plan:
        (asked,) = calls(tmp_path)
        assert asked[asked.index("--set") + 1] == "data.epoch=3"


async def test_what_can_begin_is_let_through(tmp_path: Path, go: Go) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"probe": PROBE}))
    settings = settings_.load(home=tmp_path / "home", train_python=tmp_path / "python")
    await run.check(settings, "nano-full", tmp_path, nano.MODEL)


def calls(tmp_path: Path) -> list[list[str]]:
    return [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


async def test_what_does_not_fit_is_tried_in_more_parts_and_stays_so(
    go: Go, tmp_path: Path
) -> None:
    made = await go(fits=4)
    assert [call[call.index("--split") + 1] for call in calls(tmp_path)] == ["1", "2", "4"]
    assert made.metrics["parts"] == 4
    assert made.metrics["answers"] == {"model": "ja"}
    assert (made.checkpoint / "model.safetensors").exists()
    (tmp_path / "calls").unlink()
    await go(fits=4)
    assert len(calls(tmp_path)) == 1, "a run that is gone on with remembers what fits"


async def test_one_record_that_does_not_fit_is_the_end(go: Go) -> None:
    with pytest.raises(TrainingError, match="one record at a time"):
        await go(fits=8)


async def test_what_the_child_says_is_the_error_else_the_end_of_its_log(go: Go) -> None:
    with pytest.raises(TrainingError, match=r"^the data is bad$"):
        await go(says="noise\ntrain: the data is bad")
    with pytest.raises(TrainingError, match=r"status 1.*train\.log(.|\n)*its last words"):
        await go(says="its last words")


@pytest.mark.parametrize("how", ["cancelled", "refused by who listens"])
async def test_whoever_stops_a_run_stops_its_whole_family(go: Go, tmp_path: Path, how: str) -> None:
    seen = asyncio.Event()

    async def on_step(step: Step) -> None:
        seen.set()
        if how != "cancelled":
            raise KeyError("stop")

    task = asyncio.create_task(go(hangs=True, on_step=on_step))
    await asyncio.wait_for(seen.wait(), 60)
    if how == "cancelled":
        task.cancel()
    with pytest.raises((asyncio.CancelledError, KeyError)):
        await task
    pids = json.loads((tmp_path / "pids").read_text())
    assert await asyncio.to_thread(_gone, pids)


def _gone(pids: list[int]) -> bool:
    """Whether they have ended, within a minute."""
    deadline = time.monotonic() + 60
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_alive, pids))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


async def test_several_gpus_are_started_by_torchrun(go: Go, tmp_path: Path) -> None:
    two = [["H200", 10**11, 10**11]] * 2
    await go(probe={"gpus": two}, values={"train_gpus": 4})
    (call,) = calls(tmp_path)
    assert call[:6] == [
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    ]


@pytest.mark.parametrize(
    ("probe", "named"),
    [
        ({"torch": "2.5.1"}, "torch 2.5.1 is not 2.6 to 2.11.*unset FOODCRITIC_TRAIN_PYTHON"),
        ({"torch": "2.12.0"}, "not 2.6 to 2.11"),
        ({"xtuner": None}, "xtuner is missing, not 0.2.0"),
        ({"transformers": "4.57.6"}, "transformers is 4.57.6, not 4.48.0"),
        ({"deepspeed": None, "gpus": [["H200", 1, 1]]}, "deepspeed is missing"),
        ({"gpus": [["GTX", 10**8, 10**9]]}, "0.1 are free.*FOODCRITIC_TRAIN_SERVING=pause"),
    ],
)
async def test_an_environment_that_cannot_train_is_named_with_the_remedy(
    go: Go, probe: dict[str, Any], named: str
) -> None:
    with pytest.raises(TrainingError, match=named):
        await go(probe=probe)


async def test_a_python_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", Path("/bin/false")):
        settings = settings_.load(home=tmp_path, train_python=path)
        with pytest.raises(TrainingError, match=str(path)):
            await environment.ready(settings)


def test_a_base_with_code_of_its_own_needs_trust(tmp_path: Path) -> None:
    settings = settings_.load(home=tmp_path)
    base = tmp_path / "InternVL2-2B"
    base.mkdir()
    config = {"llm_config": {"architectures": ["InternLM2ForCausalLM"]}}
    (base / "config.json").write_text(json.dumps(config))
    (base / "modeling_internvl_chat.py").touch()
    run.trusted(settings, base)  # never run: ours is
    (base / "tokenization_internlm2.py").touch()
    with pytest.raises(TrainingError, match=r"tokenization_internlm2\.py.*FOODCRITIC_TRUSTED_"):
        run.trusted(settings, base)
    run.trusted(settings_.load(home=tmp_path, trusted_models=(str(base),)), base)


def test_general_records_are_a_share_the_same_ones_every_time(tmp_path: Path) -> None:
    dataset, other = tmp_path / "dataset", tmp_path / "general"
    for folder, count in ((dataset, 8), (other, 20)):
        folder.mkdir()
        (folder / "photo.jpg").touch()
        rows = [
            {
                "id": f"{folder.name}-{i}",
                "image": "photo.jpg" if i % 2 else None,
                "conversations": [{"from": "human", "value": "?"}],
            }
            for i in range(count)
        ]
        (folder / "train.json").write_text(json.dumps(rows))
    source, out = other / "train.json", tmp_path / "work" / "train.json"
    assert general.mix(dataset, out, source, 0.2) == 2
    first = out.read_bytes()
    assert general.mix(dataset, out, source, 0.2) == 2
    assert out.read_bytes() == first
    rows = json.loads(first)
    assert [row["id"] for row in rows[:8]] == [f"dataset-{i}" for i in range(8)]
    assert {Path(row["image"]).is_file() for row in rows if row["image"]} == {True}
    more = general.mix(dataset, out, source, 0.5)
    assert more == 8
    assert {row["id"] for row in rows} <= {row["id"] for row in json.loads(out.read_text())}
    (other / "photo.jpg").unlink()
    (other / "photo.jpg").symlink_to(dataset / "photo.jpg")  # not beside it, whatever it says
    with pytest.raises(TrainingError, match=r"general-\d+ names photo\.jpg, which is not beside"):
        general.mix(dataset, out, source, 0.9)
    (other / "photo.jpg").unlink()
    with pytest.raises(TrainingError, match=r"general-\d+ names photo\.jpg, which is not beside"):
        general.mix(dataset, out, source, 0.9)
    source.write_text("{}")
    with pytest.raises(TrainingError, match="no LLaVA JSON"):
        general.mix(dataset, out, source, 0.2)


def test_a_run_that_cannot_fit_is_refused_before_it_starts(tmp_path: Path) -> None:
    base = tmp_path / "big"
    base.mkdir()
    with (base / "model.safetensors").open("wb") as file:
        file.truncate(52 * 10**9)  # InternVL2-26B's, as a hole in the disk
    settings: Settings = settings_.load(home=tmp_path)
    gpu = Gpu(name="A10", free=24 * 10**9, total=24 * 10**9)

    def seeing(*gpus: Gpu) -> Environment:
        return Environment(python=tmp_path, torch="2.6.0", deepspeed="0.16.2", gpus=gpus)

    with pytest.raises(TrainingError, match=r"critic-full of big|GB free"):
        room.check(settings, seeing(gpu), "critic-full", base, tmp_path)
    with pytest.raises(TrainingError, match=r"no recipe 'nonsense'.*critic-lora"):
        room.check(settings, seeing(), "nonsense", base, tmp_path)
    small = nano.MODEL
    room.check(settings, seeing(), "nano-full", small, tmp_path)
    room.check(settings, seeing(gpu), "nano-full", small, tmp_path)
