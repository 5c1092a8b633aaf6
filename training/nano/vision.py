# mypy: disable-error-code="import-not-found"
"""Vision pre-training from the shell: decode packs, train teachers, distil the student, measure it.

```
python -m training.nano.vision decode   PACK… --data DATA
python -m training.nano.vision teachers --data DATA --work WORK --seconds 330
python -m training.nano.vision student  --data DATA --work WORK --out OUT --seconds 550
python -m training.nano.vision measure  --data DATA --out OUT
```

Every stage ends by the clock, uses all GPUs there are (or CPU processes, for a trial), and
`student` goes on where an earlier run stopped. The packages are timm, torch and transformers; they
are no part of the product's environment.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.multiprocessing as mp

from training.nano import distil, measure, packs, teachers

log = logging.getLogger(__name__)

#: One teacher a GPU; with fewer GPUs the first ones are trained. In the same time gernet_l and
#: hgnetv2_b4 came to 49 and 38 %; several seeds of the best one teach more (results/vision.json).
FACULTY = (
    teachers.Recipe(name="resnet34d"),
    teachers.Recipe(name="resnet34d"),
    teachers.Recipe(name="resnet34d"),
    teachers.Recipe(name="resnet50d", size=112),
    teachers.Recipe(name="resnet34d", size=160),
    teachers.Recipe(name="resnet34d"),
    teachers.Recipe(name="resnet34d"),
    teachers.Recipe(name="resnet50d", size=112),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run one stage."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, prog="training.nano.vision")
    stages = parser.add_subparsers(dest="stage", required=True)
    decode = stages.add_parser("decode", help="packs to arrays that processes can share")
    decode.add_argument("packs", type=Path, nargs="+")
    decode.add_argument("--limit", type=int, help="photos of each pack, for a trial")
    teach = stages.add_parser("teachers", help="one convolutional teacher a GPU")
    teach.add_argument("--models", nargs="*", help="other timm models than the faculty's")
    learn = stages.add_parser("student", help="distil the teachers into InternViT")
    learn.add_argument("--out", type=Path, required=True)
    learn.add_argument(
        "--until", type=float, default=1e12, help="stop at this epoch time, resumable"
    )
    learn.add_argument("--start", type=Path, help="results of an earlier run to build on")
    learn.add_argument("--average-decay", type=float, default=0.999)
    learn.add_argument("--depth", type=int, default=9)
    learn.add_argument("--learning-rate", type=float, default=1.5e-3)
    check = stages.add_parser("measure", help="accuracy at 64 and 448 pixels; weights for 448")
    check.add_argument("--out", type=Path, required=True, help="what the student stage wrote")
    check.add_argument("--limit", type=int, help="val photos at 448 pixels, default all")
    for stage in (teach, learn):
        stage.add_argument("--work", type=Path, required=True)
        stage.add_argument("--seconds", type=float, help="of the whole stage")
        stage.add_argument("--batch", type=int, help="photos a step and GPU")
        stage.add_argument("--processes", type=int, help="default: one a GPU")
        stage.add_argument("--eager", action="store_true", help="without torch.compile")
    for stage in (decode, teach, learn, check):
        stage.add_argument("--data", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.stage == "decode":
        began = time.monotonic()
        photos = packs.read(options.packs, limit=options.limit)
        packs.save(photos, options.data)
        log.info("%d photos in %.1f s", len(photos.labels), time.monotonic() - began)
    elif options.stage == "teachers":
        _teachers(options)
    elif options.stage == "measure":
        scores = measure.measure(options.out, packs.load(options.data), limit=options.limit)
        (options.out / "measure.json").write_text(json.dumps(scores) + "\n", encoding="utf-8")
        log.info("%s", json.dumps(scores))
    else:
        _student(options)


def _teachers(options: argparse.Namespace) -> None:
    options.work.mkdir(parents=True, exist_ok=True)
    count = options.processes or max(1, torch.cuda.device_count())
    recipes = [teachers.Recipe(name=name) for name in options.models or ()] or list(FACULTY)
    if options.batch:
        recipes = [dataclasses.replace(recipe, batch=options.batch) for recipe in recipes]
    until = time.time() + options.seconds
    context = mp.get_context("spawn")
    running = [
        context.Process(target=_teacher, args=(i, recipe, until, options), daemon=True)
        for i, recipe in enumerate(recipes[:count])
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(max(0.0, until + 60 - time.time()))
        if process.is_alive():
            process.terminate()


def _teacher(
    number: int, recipe: teachers.Recipe, until: float, options: argparse.Namespace
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(number)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", number) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    data = teachers.Data(packs.load(options.data), device)
    save = options.work / f"teacher-{number}-{recipe.name}.pt"
    teachers.train(recipe, data, until, save, compiled=not options.eager)


def _student(options: argparse.Namespace) -> None:
    options.work.mkdir(parents=True, exist_ok=True)
    world = options.processes or max(1, torch.cuda.device_count())
    plan = distil.Plan(
        data=options.data,
        work=options.work,
        out=options.out,
        total_seconds=options.seconds,
        until=options.until,
        batch=options.batch or 256,
        depth=options.depth,
        start=options.start,
        average_decay=options.average_decay,
        learning_rate=options.learning_rate,
        compiled=not options.eager,
        ring=32768 if torch.cuda.is_available() else 1024,
    )
    log.info("%s", json.dumps({"stage": "student", "processes": world}))
    mp.spawn(distil.start, args=(world, plan), nprocs=world, daemon=True)


if __name__ == "__main__":
    main()
