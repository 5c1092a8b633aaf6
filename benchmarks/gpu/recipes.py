"""Every recipe to its end on a GPU, and a run that is killed: all beside each other on one card.

    python -m benchmarks.gpu.recipes WORK OUT.json [--model FOLDER] [--only NAME …] [--processes 1]

| name   | what                                                                              |
|--------|-----------------------------------------------------------------------------------|
| qlora  | `meme-qlora` (4 bits, zero1): steps, checkpoint, merge, check                     |
| full   | `critic-full` (zero3): the same                                                   |
| whole  | `critic-lora` (zero2) without dropout, never interrupted                          |
| killed | the same, SIGKILL to all of it after its first checkpoint, then run again         |

The losses of `killed`, iteration by iteration, are those of `whole`: the same data in the same
order. They share the card, so that times say little. Needs training's environment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.gpu import bench_train
from benchmarks.gpu.noted import Found
from training.xtuner import checkpoints

ROOT = Path(__file__).parents[2]
#: Iterations, and between two checkpoints.
ITERATIONS, EVERY = 24, 8
#: What losses of the same data may differ by: a GPU adds up in another order each time.
APART = 0.05
LORA = ("critic-lora", f"save.every={EVERY}", "model.lora.dropout=0.0", "model.compile=false")
RUNS: dict[str, tuple[str, ...]] = {
    "full": ("critic-full", "save.every=1000", f"data.iterations={ITERATIONS // 3}"),
    "qlora": ("meme-qlora", "save.every=1000", f"data.iterations={ITERATIONS}"),
    "whole": (*LORA, f"data.iterations={ITERATIONS}"),
    "killed": (*LORA, f"data.iterations={ITERATIONS}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--shape", default="2b")
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--processes", type=int, default=1, help="one a GPU")
    parser.add_argument("--only", nargs="*", choices=RUNS, default=list(RUNS))
    given = parser.parse_args()
    bench_train.prepare(given.work, given.photos, given.shape, given.model)
    found = Found(given.out)
    found.note(machine=bench_train.machine(), processes=given.processes)
    with ThreadPoolExecutor(len(given.only)) as pool:
        runs = {pool.submit(_run, given, name): name for name in given.only}
        for run in as_completed(runs):
            found.note(**{runs[run]: run.result()})
    claims = _claims(found.figures)
    found.note(claims=claims)
    found.finish()
    for claim, holds in claims.items():
        sys.stderr.write(f"{'holds' if holds else 'FAILS'}: {claim}\n")
    raise SystemExit(not all(claims.values()))


def _run(given: Any, name: str) -> dict[str, Any]:
    """One of them, from its first step to what it answers."""
    folder = given.work / f"recipe-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "work").mkdir(parents=True)
    recipe, *values = RUNS[name]
    many = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(given.processes))
    command = [sys.executable, "-m", *((*many, "-m") if given.processes > 1 else ())]
    command += ["benchmarks.gpu.clock", "training.xtuner.train", recipe]
    command += ["--model", str(given.work / "model"), "--data", str(given.work / "train.json")]
    command += ["--images", str(given.work / "images"), "--work", str(folder / "work")]
    command += ["--out", str(folder / "model"), "--features", str(folder / "features")]
    command += ["--watch", "--deepspeed-on-cpu"]
    command += [word for value in values for word in ("--set", value)]
    began = time.monotonic()
    killed = _killed(command, folder) if name == "killed" else None
    status = _start(command, folder).wait()
    log = (given.out.parent / f"recipe-{name}.log", folder / "log.txt")
    log[0].write_bytes(log[1].read_bytes()[-(2**18) :])
    found: dict[str, Any] = {"status": status, "seconds": round(time.monotonic() - began, 1)}
    lines = log[1].read_text("utf-8", "replace").strip().splitlines()
    said = [line for line in lines if line.startswith('{"checkpoint"')]
    if status == 0 and said:
        found["answers"] = json.loads(said[-1])["answers"]
        found["checkpoint_gb"] = round(_size(folder / "work", "iter_*/*") / 1e9, 2)
        found["model_gb"] = round(_size(folder, "model/*.safetensors") / 1e9, 2)
    else:
        found["error"] = lines[-6:]
    clock = _clock(folder)  # empty, if it failed before its first iteration
    found["losses"] = [round(line["loss"], 4) for line in clock]
    found["allocated_gb"] = round(max((line["allocated"] for line in clock), default=0) / 1e9, 2)
    if killed is not None:
        went_on = re.search(r"resumed epoch: \d+, iter: (\d+)", "\n".join(lines))
        found |= {"killed_after": killed, "resumed_at": int(went_on[1]) if went_on else None}
    for heavy in ("work", "model", "model-adapter", "features"):
        shutil.rmtree(folder / heavy, ignore_errors=True)
    return found


def _clock(folder: Path) -> list[dict[str, Any]]:
    """A line for each iteration; the last is left out where a kill has torn it."""
    file = folder / "clock.jsonl"
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _killed(command: list[str], folder: Path) -> int:
    """Start it, and kill everything of it a little after its first checkpoint; its iterations."""
    running = _start(command, folder)
    while running.poll() is None:
        saved = checkpoints.last(folder / "work") is not None
        if saved and len(_clock(folder)) >= EVERY + 3:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            return len(_clock(folder))
        time.sleep(0.1)
    return -1


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    clock = {"FOODCRITIC_BENCH_CLOCK": str(folder / "clock.jsonl")}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=os.environ | clock, stdout=log, stderr=log,
            stdin=subprocess.PIPE,  # ends when we do, and all of it with that
            start_new_session=True,
        )  # fmt: skip


def _claims(found: dict[str, Any]) -> dict[str, bool]:
    runs = {name: found[name] for name in RUNS if name in found}
    claims = {f"{name}: trained, merged, asked": run["status"] == 0 for name, run in runs.items()}
    if "killed" in runs and "whole" in runs:
        killed, whole = runs["killed"], runs["whole"]
        before, at = killed["killed_after"], killed["resumed_at"]
        claims["killed: went on from a checkpoint"] = at is not None and EVERY <= at < ITERATIONS
        after = killed["losses"][max(before, 0) :]
        same = whole["losses"][at or 0 :]
        claims["killed: the same data in the same order"] = len(after) == len(same) > 0 and all(
            abs(one - other) <= APART * other for one, other in zip(after, same, strict=True)
        )
    return claims


def _size(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern) if file.is_file())


if __name__ == "__main__":
    main()
