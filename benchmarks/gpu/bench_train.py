# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call,untyped-decorator"
"""Training speed and memory: XTuner's stock recipe and ours, on the same data, one after another.

    python -m benchmarks.gpu.bench_train WORK OUT.json [--shape 2b] [--photos 64] [--only NAME …]

OUT.json gets all of them, and OUT-NAME.json says of each that ended well.

InternVL2's true shape with random weights, the tutorial's LoRA recipe (r 128, batch 4 x 2, zero2),
photos of 1280 x 960 (13 tiles, 3.4 thousand tokens). Each run is a real XTuner run in a process of
its own. "stock" is XTuner's model, dataset, sampler and collate function over the hub's modeling
code without flash-attn; the others are `training.xtuner`, one deviation after another. What is
measured is the median time of an optimizer step's iterations after the first SKIP, and what torch
allocated and reserved at most. Needs training's environment, on PATH or this interpreter's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Iterations that do not count: kernels are chosen and compiled, loaders fill.
SKIP = 8
#: Dense bfloat16 FLOP/s of an H200 (NVIDIA's data sheet, without sparsity).
PEAK = 989e12
WORDS = ("crisp", "golden", "crust", "soft", "sour", "broth", "rich", "sesame", "ginger")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One thing that is compared."""

    name: str
    iterations: int
    #: Overrides of the recipe; None: XTuner's own parts.
    settings: tuple[str, ...] | None
    features: bool = False
    memory_gb: float | None = None
    #: To the end: checkpoint, merge, check.
    finish: bool = False

    @property
    def slug(self) -> str:
        """Its name for files and shells."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower())


COMPILED = ("model.compile=true", "model.compile_from=0")
SYSTEMS = (
    System(name="stock", iterations=20, settings=None),
    System(name="ours", iterations=32, settings=("model.compile=false",), features=True),
    System(name="ours compiled", iterations=48, settings=COMPILED, features=True),
    System(
        name="ours compiled, 16 GB",
        iterations=24,
        settings=COMPILED,
        features=True,
        memory_gb=16,
        finish=True,
    ),
    System(name="ours, nothing kept", iterations=24, settings=("model.cache_features=false",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", default="2b")
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--model", type=Path, help="a checkpoint of that shape that is there")
    parser.add_argument("--only", nargs="*", help="names of what to run, or ours-compiled-16-gb")
    parser.add_argument("--divide", type=int, default=1, help="run so many times fewer iterations")
    given = parser.parse_args()
    work: Path = given.work
    prepare(work, given.photos, given.shape, given.model)
    found: dict[str, Any] = {"shape": given.shape, "photos": given.photos, "runs": {}}
    if given.out.exists():
        found = json.loads(given.out.read_text(encoding="utf-8"))
    found["machine"] = machine()
    for system in SYSTEMS:
        if given.only and not {system.name, system.slug} & set(given.only):
            continue
        short = dataclasses.replace(system, iterations=system.iterations // given.divide)
        found["runs"][system.name] = measured = run(short, work)
        sys.stdout.write(json.dumps({system.name: measured}) + "\n")
        sys.stdout.flush()
        given.out.write_text(json.dumps(summary(found, work), indent=1) + "\n", encoding="utf-8")
        if measured["status"] == 0:
            one = given.out.with_name(f"{given.out.stem}-{system.slug}.json")
            one.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def prepare(work: Path, count: int, shape: str, model: Path | None = None) -> None:
    """A checkpoint, photos, LLaVA JSON, and the checkpoint as the hub has it, once.

    The last of it appears whole: what was cut off is done again.
    """
    from benchmarks.gpu import photos

    if (work / "hub").exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    if model is not None:
        (work / "model").unlink(missing_ok=True)
        (work / "model").symlink_to(model.resolve())
    else:
        _run("-m", "benchmarks.gpu.shapes", str(work / "model"), "--shape", shape)
    images = work / "images"
    images.mkdir(exist_ok=True)
    records = []
    for number in range(count):
        name = f"{number}.jpg"
        (images / name).write_bytes(photos._one((number, 1280, 960)))
        answer = " ".join(WORDS[(number * 7 + i * 5) % len(WORDS)] for i in range(12))
        records.append(
            {
                "id": str(number),
                "image": name,
                "image_wh": [[1280, 960]],
                "conversations": [
                    {"from": "human", "value": "<image>\nWhat is this dish, and how was it made?"},
                    {"from": "gpt", "value": answer},
                ],
            }
        )
    (work / "train.json").write_text(json.dumps(records), encoding="utf-8")
    hub = work / ".part-hub"
    shutil.rmtree(hub, ignore_errors=True)
    hub.mkdir()
    for file in (work / "model").iterdir():
        (hub / file.name).symlink_to(file.resolve())
    code = hub / "modeling_internvl_chat.py"
    code.unlink()
    shutil.copy(Path(__file__).with_name("modeling_hub.py"), code)
    hub.rename(work / "hub")


def run(system: System, work: Path) -> dict[str, Any]:
    """Train, and say how fast; a run that fails says how."""
    folder = work / f"run-{system.slug}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    features = work / "features"
    shutil.rmtree(features, ignore_errors=True)
    if system.settings is None:
        command = ["-m", "benchmarks.gpu.stock_train", str(work), str(folder)]
        command += [str(system.iterations)]
    else:
        values = (*system.settings, f"data.iterations={system.iterations}", "save.every=100000")
        command = [
            *("-m", "training.xtuner.train", "critic-lora", "--model", str(work / "model")),
            *("--data", str(work / "train.json"), "--images", str(work / "images")),
            *("--work", str(folder), "--out", str(folder / "model")),
            *(word for value in values for word in ("--set", value)),
        ]
        if system.features:
            command += ["--features", str(features)]
        if system.memory_gb:
            command += ["--memory-gb", str(system.memory_gb)]
    started = time.monotonic()
    clock = folder / "clock.jsonl"
    ended = _popen(
        command,
        folder / "log.txt",
        {
            "FOODCRITIC_BENCH_CLOCK": str(clock),
            "FOODCRITIC_BENCH_STOP": "" if system.finish else "1",
        },
    )
    lines = [json.loads(line) for line in clock.read_text().splitlines()] if clock.exists() else []
    log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    found: dict[str, Any] = {
        "status": ended,
        "wall_s": round(time.monotonic() - started, 1),
        "iterations": len(lines),
    }
    if ended:
        found["error"] = log.strip().splitlines()[-6:]
    elif system.finish:
        found["answers"] = json.loads(log.strip().splitlines()[-1])["answers"]
    if len(lines) > SKIP + 2:
        times = [line["time"] for line in lines]
        # Every second iteration ends with the optimizer's step: pairs are alike.
        pairs = [(b - a) / 2 for a, b in zip(times[SKIP::2], times[SKIP + 2 :: 2], strict=False)]
        per_iteration = statistics.median(pairs)
        found |= {
            "s_per_iteration": round(per_iteration, 4),
            "samples_per_s": round(4 / per_iteration, 3),
            "allocated_gb": round(lines[-1]["allocated"] / 1e9, 2),
            "reserved_gb": round(lines[-1]["reserved"] / 1e9, 2),
            "first_iteration_after_s": round(times[0] - lines[0]["started"], 1),
            "loss": [line["loss"] for line in lines],
        }
        if "fill_s" in lines[0]:
            found["fill_s"] = lines[0]["fill_s"]
    shutil.rmtree(folder / "model", ignore_errors=True)
    return found


def summary(found: dict[str, Any], work: Path) -> dict[str, Any]:
    """Ratios to stock, and model FLOPs utilisation."""
    runs = found["runs"]
    flops = flops_per_sample(json.loads((work / "model" / "config.json").read_text()))
    found["flops_per_sample"] = flops
    stock = runs.get("stock", {}).get("samples_per_s")
    for measured in runs.values():
        if rate := measured.get("samples_per_s"):
            measured["mfu"] = round(rate * flops / PEAK, 4)
            if stock:
                measured["times_stock"] = round(rate / stock, 2)
    return found


def flops_per_sample(config: dict[str, Any], tiles: int = 13, words: int = 90) -> float:
    """What the recipe asks for, whoever computes how much of it how often.

    Matrix products of one sample: the frozen vision encoder forward; the frozen language model
    forward and the gradients of its inputs (2 + 2 FLOPs a weight and token); adapters and mlp1 also
    those of their weights (6). Causal attention counts half. Recomputation counts nothing.
    """
    vit, llm = config["vision_config"], config["llm_config"]
    side = (vit["image_size"] // vit["patch_size"]) ** 2
    v, inner = vit["hidden_size"], vit["intermediate_size"]
    seen = tiles * (side + 1)
    vision = (
        vit["num_hidden_layers"] * seen * (2 * (4 * v * v + 2 * v * inner) + 4 * (side + 1) * v)
    )
    tokens = tiles * side // 4 + words
    h, f, layers = llm["hidden_size"], llm["intermediate_size"], llm["num_hidden_layers"]
    kv = h * llm["num_key_value_heads"] // llm["num_attention_heads"]
    weights = layers * (2 * h * h + 2 * h * kv + 3 * h * f)
    lora = 128 * layers * ((h + h + 2 * kv) + 2 * h + 3 * (h + f))
    mlp1 = 4 * v * h + h * h
    attention = 3 * layers * 2 * tokens * tokens * h  # 4 n² h, halved; forward and twice backward
    head = words * 4 * h * llm["vocab_size"]
    return float(vision + tokens * (4 * weights + 6 * lora) + attention + head + 6 * mlp1 * tokens)


def machine() -> dict[str, str]:
    if shutil.which("nvidia-smi") is None:
        return {"gpu": "none"}
    ask = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    text = subprocess.run(ask, capture_output=True, text=True, check=False).stdout
    import torch

    return {"gpu": text.strip(), "torch": torch.__version__}


def _run(*command: str) -> str:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _popen(command: list[str], log: Path, extra: dict[str, str]) -> int:
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    environment = os.environ | alone | {"MASTER_PORT": "29533"} | extra
    entry = [sys.executable, "-m", "benchmarks.gpu.clock", *command[1:]]
    with log.open("wb") as file:
        return subprocess.run(
            entry, cwd=ROOT, env=environment, stdout=file, stderr=file, check=False
        ).returncode


if __name__ == "__main__":
    main()
