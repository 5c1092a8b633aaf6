# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Trains an InternVL2 checkpoint on LLaVA JSON with XTuner: recipe in, Hugging Face folder out.

    recipe -> config/xtuner.py -> xtuner.tools.train (in this process) -> merge -> OUT

Run it again with the same ``--work`` after a kill: it goes on from the last checkpoint. ``--work``
holds the config, the checkpoints (bounded), logs and ``progress.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import torch

from . import config, machine, recipe
from .merge import DTYPES, last_checkpoint, merge

#: Our rendered configuration; apart, because mmengine writes one of the same name into ``--work``.
CONFIG = Path("config", "xtuner.py")


def main(argv: list[str] | None = None) -> None:
    """Parse arguments, train, merge; the last line on stdout is one JSON object."""
    args = _arguments(argv)
    overrides = dict(item.split("=", 1) for item in args.set)
    try:
        chosen = recipe.load(args.recipe, overrides)
    except recipe.RecipeError as error:
        sys.exit(f"train: {error}")
    try:
        records = len(json.loads(args.data.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        sys.exit(f"train: {args.data} is no LLaVA JSON: {error}")
    job = config.Job(
        model=args.model.resolve(),
        data=args.data.resolve(),
        images=args.images.resolve(),
        work=args.work.resolve(),
        records=records,
        cuda=torch.cuda.is_available(),
        cores=machine.cores(),
        processes=int(os.environ.get("WORLD_SIZE", "1")),
    )
    checkpoint = train(chosen, job)
    if int(os.environ.get("RANK", "0")) == 0:
        out = merge(job.work / CONFIG, checkpoint, args.out.resolve(), args.dtype)
        sys.stdout.write(json.dumps({"checkpoint": str(checkpoint), "model": str(out)}) + "\n")


def train(chosen: recipe.Recipe, job: config.Job) -> Path:
    """Run XTuner to the end of the recipe and return the last checkpoint."""
    path = job.work / CONFIG
    path.parent.mkdir(parents=True, exist_ok=True)
    text = config.render(chosen, job)
    resumed = last_checkpoint(job.work)
    if resumed and not (path.exists() and path.read_text(encoding="utf-8") == text):
        sys.exit(f"train: {job.work} holds a run of another recipe or data: remove it first")
    path.write_text(text, encoding="utf-8")
    deepspeed = chosen.optimizer.deepspeed if job.cuda else None
    _join_processes(job, deepspeed is not None)
    argv = ["train", str(path)]
    if job.processes > 1:
        argv += ["--launcher", "pytorch"]
    if deepspeed:
        argv += ["--deepspeed", f"deepspeed_{deepspeed}"]
    if resumed:
        argv += ["--resume", str(resumed)]
    from xtuner.tools.train import main as xtuner_main

    sys.argv = argv
    xtuner_main()
    checkpoint = last_checkpoint(job.work)
    if checkpoint is None:
        sys.exit(f"train: XTuner ended without a checkpoint in {job.work}")
    return checkpoint


def _join_processes(job: config.Job, deepspeed: bool) -> None:
    """Start torch.distributed for one process; torchrun's and DeepSpeed's start it themselves.

    XTuner asks for the rank even where there is one process, and DeepSpeed looks for MPI when the
    usual variables are absent.
    """
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    for key, value in (alone | {"MASTER_PORT": "29511"}).items():
        os.environ.setdefault(key, value)
    if job.processes == 1 and not deepspeed and not torch.distributed.is_initialized():
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help=f"a path to a .toml file, or: {', '.join(recipe.names())}")
    parser.add_argument("--model", type=Path, required=True, help="InternVL2 checkpoint folder")
    parser.add_argument("--data", type=Path, required=True, help="LLaVA JSON")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and logs")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="fp16", help="of the output")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. optimizer.lr=3e-4"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
