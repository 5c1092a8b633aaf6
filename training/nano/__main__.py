"""The whole recipe of the bundled nano model, as one command.

    training/xtuner/.venv/bin/python -m training.nano --packs PACK… --work WORK --out CHECKPOINT
    training/xtuner/.venv/bin/python -m training.nano --archive food-101.tar.gz --work … --out …

```
 pack ─▶ decode ─▶ teachers ─▶ student ─▶ guesses ─▶ dialogues ─▶ tokenizer ─▶ base ─▶ xtuner
 WebP    arrays    one a GPU   InternViT  soft.npz   LLaVA JSON   1,536        HF      HF folder
                                                                                          └─▶ probe
```

Each stage is a program of its own, started by its line below, and is skipped when what it makes is
there: delete that to make it again. A stage that is killed goes on (teachers, student, xtuner) or
starts over; run the same command again. ``--only`` runs some stages, ``--trial`` all of them on a
few photos, on a CPU, in minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.nano import packs


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of the recipe."""

    #: Packs to read; with an archive, the one pack that is built from it.
    packs: tuple[Path, ...]
    #: food-101.tar.gz, or None where the packs are given.
    archive: Path | None
    work: Path
    #: Where the finished checkpoint goes.
    out: Path
    #: Further arguments of each stage's program.
    extra: dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    #: What the stage makes; it is skipped when this exists.
    makes: Callable[[Plan], Path]
    run: Callable[[Plan], None]


def module(name: str, *arguments: object) -> None:
    """Run one of our programs in this environment; its failure ends the recipe."""
    command = [sys.executable, "-m", name, *map(str, arguments)]
    sys.stdout.write(f"== {' '.join(command[2:])}\n")
    sys.stdout.flush()
    subprocess.run(command, check=True)


def pack(plan: Plan) -> None:
    if plan.archive is None:
        raise packs.PackError(f"{plan.packs[0]} is missing; give --archive to build it")
    from foodcritic.dishes import DISHES

    names = {key: dish.name_zh for key, dish in DISHES.items()}
    packs.build(plan.archive, plan.packs[0], names)


def decode(plan: Plan) -> None:
    more = plan.extra.get("decode", [])
    module("training.nano.vision", "decode", *plan.packs, "--data", plan.work / "arrays", *more)


def teachers(plan: Plan) -> None:
    _vision(plan, "teachers", "--seconds", 330)


def student(plan: Plan) -> None:
    _vision(plan, "student", "--out", plan.work / "vision", "--seconds", 550)


def _vision(plan: Plan, stage: str, *arguments: object) -> None:
    folders = ("--data", plan.work / "arrays", "--work", plan.work / "vision-state")
    module("training.nano.vision", stage, *folders, *arguments, *plan.extra.get(stage, []))


def guesses(plan: Plan) -> None:
    """Key the teachers' soft labels by Food-101's photo number, as the dialogues want them."""
    ids = np.array([row.food101_id for folder in plan.packs for row in packs.index(folder)])
    with np.load(plan.work / "vision" / "soft.npz") as soft:
        np.savez_compressed(
            plan.work / "guesses.npz",
            ids=ids[soft["rows"]],
            classes=soft["dishes"],
            probs=soft["probabilities"],
        )


def dialogues(plan: Plan) -> None:
    arguments = ["--packs", *plan.packs, "--out", plan.work / "dialogues.part"]
    arguments += ["--teacher", plan.work / "guesses.npz", "--views", 3]
    module("training.nano.dialogues", *arguments, *plan.extra.get("dialogues", []))
    (plan.work / "dialogues.part").rename(plan.work / "dialogues")


def tokenizer(plan: Plan) -> None:
    train = plan.work / "dialogues" / "train.json"
    module("training.nano.tokenizer", plan.work / "tokenizer", "--train", train)


def base(plan: Plan) -> None:
    vision = plan.work / "vision"
    words = plan.work / "tokenizer"
    module("training.nano.assemble", words, plan.work / "base", "--vision", vision)


#: How the recipe nano-full is changed to teach words: the vision encoder comes trained, and keeping
#: it as it is costs less time and names better.
WORDS = (
    "model.freeze_vision=true",
    "data.batch_size=256",
    "data.iterations=14000",
    "optimizer.lr=1.5e-3",
)


def xtuner(plan: Plan) -> None:
    data = plan.work / "dialogues"
    module(
        "training.xtuner.train",
        *("nano-full", "--model", plan.work / "base"),
        *("--data", data / "train.json", "--images", data / "images"),
        *("--work", plan.work / "xtuner", "--out", plan.out),
        *(word for value in WORDS for word in ("--set", value)),
        *plan.extra.get("xtuner", []),
    )


def probe(plan: Plan) -> None:
    report = plan.work / "probe.json"
    module("training.nano.probe", plan.out, "--packs", *plan.packs, "--answers", 4, "--out", report)


STAGES = {
    "pack": Stage(makes=lambda plan: plan.packs[0] / "index.csv", run=pack),
    "decode": Stage(makes=lambda plan: plan.work / "arrays" / "names.txt", run=decode),
    "teachers": Stage(makes=lambda plan: plan.work / "vision-state", run=teachers),
    "student": Stage(makes=lambda plan: plan.work / "vision" / "soft.npz", run=student),
    "guesses": Stage(makes=lambda plan: plan.work / "guesses.npz", run=guesses),
    "dialogues": Stage(makes=lambda plan: plan.work / "dialogues" / "train.json", run=dialogues),
    "tokenizer": Stage(
        makes=lambda plan: plan.work / "tokenizer" / "tokenizer.json", run=tokenizer
    ),
    "base": Stage(makes=lambda plan: plan.work / "base" / "model.safetensors", run=base),
    "xtuner": Stage(makes=lambda plan: plan.out / "model.safetensors", run=xtuner),
    "probe": Stage(makes=lambda plan: plan.work / "probe.json", run=probe),
}
#: Arguments that make every stage small enough for two cores: proves the chain, learns nothing.
TRIAL: dict[str, list[str]] = {
    "decode": ["--limit", "300"],
    "teachers": [
        *("--seconds", "180", "--models", "resnet10t", "--batch", "64"),
        *("--processes", "1", "--eager"),
    ],
    "student": ["--seconds", "30", "--batch", "32", "--processes", "1", "--eager"],
    "dialogues": ["--limit", "150", "--views", "2"],
    "xtuner": ["--set", "data.batch_size=8", "--set", "data.iterations=20"],
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run what is missing."""
    parser = argparse.ArgumentParser(prog="python -m training.nano")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--packs", type=Path, nargs="+", help="folders of index.csv and blobs.bin")
    source.add_argument("--archive", type=Path, help="the official food-101.tar.gz")
    parser.add_argument("--work", type=Path, required=True, help="everything in between")
    parser.add_argument("--out", type=Path, required=True, help="the finished checkpoint")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--trial", action="store_true", help="a few photos, a few steps")
    parser.add_argument(
        *("--set", "-s"),
        action="append",
        default=[],
        metavar="STAGE:ARGUMENTS",
        help="further arguments of a stage, e.g. 'xtuner:--set data.epochs=2'",
    )
    args = parser.parse_args(argv)
    extra = {stage: list(words) for stage, words in TRIAL.items()} if args.trial else {}
    for item in args.set:
        stage, _, words = item.partition(":")
        if stage not in STAGES:
            parser.error(f"--set {item}: no stage {stage!r}; there are {', '.join(STAGES)}")
        extra.setdefault(stage, []).extend(words.split())
    sources = tuple(args.packs) if args.packs else (args.work / "pack",)
    plan = Plan(packs=sources, archive=args.archive, work=args.work, out=args.out, extra=extra)
    plan.work.mkdir(parents=True, exist_ok=True)
    for name, stage in STAGES.items():
        if name in args.only and not stage.makes(plan).exists():
            stage.run(plan)


if __name__ == "__main__":
    main()
