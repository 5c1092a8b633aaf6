"""What a GPU has to show of training, in one session on one machine, the most important first.

    python -m benchmarks.gpu.learning RESULTS [--seconds 560] [--only PART…] [--dry-run]
    python -m benchmarks.gpu.learning RESULTS --summary

Run it again and it goes on (see `parts`). It is run where LMDeploy is; FOODCRITIC_TRAIN_PYTHON
names the Python with XTuner. The model, of InternVL2-2B's true shape with random weights, is made
under /dev/shm once, what runs write goes where there is most room. `--model` with `--shape tiny` on
a machine without a GPU rehearses it.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu import parts
from benchmarks.gpu.parts import SCRATCH, Book, Part

#: The bundled model as a folder, so that LMDeploy serves it.
NANO: Final = Path(__file__).parents[2] / "engine" / "nano" / "model"
BENCH = "benchmarks.gpu.bench_train {work} {results}/train.json --model {model} --photos 48"
RECIPES = "benchmarks.gpu.recipes {work} {results}/recipes.json --model {model} --photos 48"
LESSON = "benchmarks.gpu.lesson {model} {results}/lesson-2b.json --recipe critic-lora --mechanics"
LESSON += " --size 1280x960 --card-gb 24"

#: In the order of their importance. Seconds on an H200 as reckoned from measured rates.
PARTS: Final = (
    Part(
        name="16gb",
        seconds=150,
        command=f"{BENCH} --only ours-compiled-16-gb",
        files=["train-ours-compiled-16-gb.json"],
        needs="{model}",
        trains=True,
    ),
    Part(
        name="nano",
        seconds=240,
        command="benchmarks.gpu.lesson {nano} {results}/lesson-nano.json --recipe nano-corrections",
        files=["lesson-nano.json"],
    ),
    Part(
        name="recipes",
        seconds=200,
        command=RECIPES,
        files=["recipes.json"],
        needs="{model}",
        trains=True,
    ),
    Part(
        name="2b",
        seconds=480,
        command=LESSON,
        files=["lesson-2b.json"],
        needs="{model}",
    ),
    Part(
        name="2b-short",
        seconds=330,
        command=f"{LESSON.replace('lesson-2b.json', 'lesson-2b-short.json')} --set data.epochs=1",
        files=["lesson-2b-short.json"],
        needs="{model}",
        unless="lesson-2b.json",
    ),
    Part(
        name="stock",
        seconds=75,
        command=f"{BENCH} --only stock",
        files=["train-stock.json"],
        needs="{model}",
        trains=True,
    ),
    Part(
        name="compiled",
        seconds=110,
        command=f"{BENCH} --only ours-compiled",
        files=["train-ours-compiled.json"],
        needs="{model}",
        trains=True,
    ),
    Part(
        name="two",
        seconds=150,
        command=RECIPES.replace("recipes.json", "two.json") + " --only full --processes 2",
        files=["two.json"],
        gpus=2,
        needs="{model}",
        trains=True,
    ),
)
#: (what is to be shown, file, where the number is in it, how it compares, with what)
SHOWS: Final = (
    ("16 GB, batch 4: samples/s", "train-ours-compiled-16-gb", ("samples_per_s",), ">=", 6.6),
    ("16 GB: allocated, GB", "train-ours-compiled-16-gb", ("allocated_gb",), "<=", 16),
    ("stock: allocated, GB", "train-stock", ("allocated_gb",), ">=", 20),
    ("nano: s to promoted", "lesson-nano", ("seconds", "to_promoted"), "<=", 600),
    ("2B: s to promoted by hand", "lesson-2b", ("seconds", "to_promoted"), "<=", 600),
)


def places(given: Any) -> dict[str, str]:
    roomy = max((Path("/tmp"), SCRATCH), key=lambda folder: shutil.disk_usage(folder).free)
    return {
        "model": str(given.model),
        "nano": str(NANO),
        "results": str(given.results),
        "work": str(given.work or roomy / "learning"),
    }


def made(given: Any, what: str) -> None:
    """Make the model, unless it is there."""
    target = Path(what.format(**places(given)))
    if not (target / "config.json").is_file():
        command = ["benchmarks.gpu.shapes", str(target), "--shape", given.shape]
        subprocess.run([sys.executable, "-m", *command], check=True)


def summary(results: Path) -> None:
    """What is shown, and what is not yet."""

    def read(name: str) -> dict[str, Any]:
        file = results / f"{name}.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        return found

    for what, name, path, sign, aim in SHOWS:
        value: Any = read(name)
        for key in path:
            value = value.get(key, {}) if isinstance(value, dict) else value
        value = None if value == {} else value
        holds = value is not None and (value >= aim if sign == ">=" else value <= aim)
        _mark(holds, value, what, f"{sign} {aim:g}")
    rates = [
        read(f"train-{name}").get("samples_per_s") for name in ("ours-compiled-16-gb", "stock")
    ]
    times = rates[0] / rates[1] if rates[0] and rates[1] else None
    _mark(times is not None and times >= 3, times, "16 GB: samples/s, times stock's", ">= 3")
    for name in ("lesson-nano", "recipes", "lesson-2b", "lesson-2b-short", "two"):
        for claim, holds in read(name).get("claims", {f"{name} was not run": None}).items():
            _mark(bool(holds), holds, f"{name}: {claim}", "")


def _mark(holds: bool, value: Any, what: str, aim: str) -> None:
    shown = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    state = "holds" if holds else "open " if value is None else "FAILS"
    sys.stderr.write(f"{state}  {what:60} {shown:>8} {aim}\n")


BOOK: Final = Book(
    name="learning", parts=PARTS, places=places, made=made, summary=summary, making=30
)


if __name__ == "__main__":
    parts.main(BOOK, "What a GPU has to show of training.", work="")
