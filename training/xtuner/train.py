# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Trains an InternVL2 checkpoint on LLaVA JSON with XTuner: recipe in, Hugging Face folder out.

    recipe -> config/xtuner.py -> xtuner.tools.train (in this process) -> merge -> check -> OUT
                                                       on a GPU, in a fresh process: ──────────

Run it again with the same ``--work`` after a kill: it goes on from the last checkpoint. ``--work``
holds the config, the checkpoints (bounded), logs and ``progress.jsonl``. Out of memory it ends with
status OUT_OF_MEMORY and names the next ``--split``: `training.run` starts it again with that.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError

from . import base, cache, check, checkpoints, config, loop, machine, recipe, rehearsal
from .merge import DTYPES, MergeError, merge

#: Our rendered configuration; apart, because mmengine writes one of the same name into ``--work``.
CONFIG = Path("config", "xtuner.py")
#: Exit status: a batch did not fit; the last line says what ``--split`` would make it smaller.
OUT_OF_MEMORY = 77
#: Names the checkpoint that a run ended with: what is left is to merge it.
TRAINED = "trained"
#: Seconds that the other processes wait for the first one to prepare.
PATIENCE = 120.0


def main(argv: list[str] | None = None) -> None:
    """Parse arguments, train, merge; the last line on stdout is one JSON object."""
    argv = sys.argv[1:] if argv is None else argv
    args = _arguments(argv)
    if args.watch:
        machine.die_with_parent()
    try:
        chosen = recipe.load(args.recipe, dict(item.split("=", 1) for item in args.set))
        base.read(args.model)
        if chosen.model.quantize_llm and not torch.cuda.is_available():
            raise machine.MachineError(
                f"{chosen.name} packs the language model in 4 bits, and bitsandbytes does that on "
                "an NVIDIA GPU only, and none is seen: take critic-lora, or nano-corrections"
            )
        machine.limit_memory(args.memory_gb)
        if args.check:
            return
        records = len(json.loads(args.data.read_text(encoding="utf-8")))
    except (recipe.RecipeError, base.BaseError, machine.MachineError) as error:
        sys.exit(f"train: {error}")
    except (OSError, ValueError) as error:
        sys.exit(f"train: {args.data} is no LLaVA JSON: {error}")
    first = int(os.environ.get("RANK", "0")) == 0
    with _alone(args.work, first):
        merging = _ended(args.work) is not None
        try:
            job = _job(args, chosen, records)
            checkpoint = train(chosen, job)
            if first and not merging and (job.cuda or job.deepspeed_on_cpu):
                # XTuner and DeepSpeed keep the model on the GPU, and ZeRO-3 cuts up what is loaded
                # beside it, for as long as this process lives.
                machine.become([sys.executable, "-m", "training.xtuner.train", *argv])
            if first:
                _finish(args, chosen, checkpoint)
        except loop.Diverged as error:
            sys.stderr.write(f"train: {error}\n")
            sys.stderr.flush()
            os._exit(1)  # the others wait for us: no clean end is left
        except (RuntimeError, MemoryError, OSError, SafetensorError, check.CheckError) as error:
            if why := machine.unwritable(error):
                _no_room(args.work, why)
            if not machine.is_out_of_memory(error):
                raise
            if merging:
                sys.exit(f"train: out of memory while the result was merged and asked: {error}")
            # Trained: what that held is given back by a new process, in as many parts.
            trained = _ended(args.work) is not None
            split = args.split if trained else _next_split(chosen.data.batch_size, args.split)
            sys.stdout.write(json.dumps({"out_of_memory": str(error), "split": split}) + "\n")
            sys.stdout.flush()
            os._exit(OUT_OF_MEMORY)  # the others wait for us: no clean end is left


def train(chosen: recipe.Recipe, job: config.Job) -> Path:
    """Run XTuner to the end of the recipe and return the last checkpoint."""
    path = job.work / CONFIG
    path.parent.mkdir(parents=True, exist_ok=True)
    same = config.fingerprint(chosen, job)
    resumed = checkpoints.last(job.work)
    marker = path.with_suffix(".sha256")
    if resumed and not (marker.exists() and marker.read_text(encoding="utf-8") == same):
        sys.exit(f"train: {job.work} holds a run of another recipe or data: remove it first")
    if ended := _ended(job.work):
        return ended
    with _first_prepares(path.with_suffix(".ready")) as first:
        if first:
            checkpoints.tidy(job.work)
            base.view(job.base, job.model)
            path.write_text(config.render(chosen, job), encoding="utf-8")
            marker.write_text(same, encoding="utf-8")
    deepspeed = _deepspeed(chosen, job)
    _join_processes(job, deepspeed is not None)
    argv = ["train", str(path)]
    if job.processes > 1:
        argv += ["--launcher", "pytorch"]
    if deepspeed:
        argv += ["--deepspeed", deepspeed]
    if resumed:
        argv += ["--resume", str(resumed)]
    from xtuner.tools.train import main as xtuner_main

    sys.argv = argv
    xtuner_main()
    checkpoint = checkpoints.last(job.work)
    if checkpoint is None:
        sys.exit(f"train: XTuner ended without a checkpoint in {job.work}")
    if first:
        (job.work / TRAINED).write_text(checkpoint.name, encoding="utf-8")
    return checkpoint


def _deepspeed(chosen: recipe.Recipe, job: config.Job) -> str | None:
    """What XTuner knows DeepSpeed's configuration by; None: it runs without DeepSpeed."""
    stage = chosen.optimizer.deepspeed
    if stage is None or not (job.cuda or job.deepspeed_on_cpu):
        return None
    if job.cuda:
        return f"deepspeed_{stage}"
    return str(rehearsal.prepare(stage, (job.work / CONFIG).parent))


def _ended(work: Path) -> Path | None:
    """The checkpoint that a run which has seen all its data ended with."""
    checkpoint, marker = checkpoints.last(work), work / TRAINED
    if checkpoint is None or not marker.exists():
        return None
    return checkpoint if marker.read_text(encoding="utf-8") == checkpoint.name else None


def _no_room(work: Path, why: str) -> NoReturn:
    free = shutil.disk_usage(work).free / 1e9
    sys.exit(f"train: {work}: {why}; {free:.1f} GB are free there: make room, and train again")


@contextlib.contextmanager
def _first_prepares(marker: Path) -> Iterator[bool]:
    """Whether this process is the first of the run; the others go on when that one is ready."""
    launch = ":".join(
        os.environ.get(key, "")
        for key in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
    )
    if os.environ.get("RANK", "0") == "0":
        yield True
        marker.write_text(launch, encoding="utf-8")
        return
    deadline = time.monotonic() + PATIENCE
    while not (marker.exists() and marker.read_text(encoding="utf-8") == launch):
        if time.monotonic() > deadline:
            sys.exit(f"train: the first process prepared nothing in {marker.parent}: is it shared?")
        time.sleep(0.2)
    yield False


def _job(args: argparse.Namespace, chosen: recipe.Recipe, records: int) -> config.Job:
    cuda = torch.cuda.is_available()
    features = None
    if keeps_features(chosen) and args.features and args.features_gb:
        kind = (chosen.optimizer.precision if cuda else "fp32", chosen.model.weights)
        settings = base.read_config(args.model)
        tiling = {k: v for k, v in sorted(settings.items()) if k not in ("llm_config", "auto_map")}
        features = args.features.resolve() / cache.digest(args.model, kind, tiling)
    return config.Job(
        base=args.model.resolve(),
        model=args.work.resolve() / "base",
        data=args.data.resolve(),
        images=args.images.resolve(),
        work=args.work.resolve(),
        records=records,
        cuda=cuda,
        cores=machine.cores(),
        processes=int(os.environ.get("WORLD_SIZE", "1")),
        split=args.split,
        features=features,
        features_limit=round(args.features_gb * 1e9),
        deepspeed_on_cpu=args.deepspeed_on_cpu,
        phi3=base.language_model(base.read_config(args.model)) == base.PHI3,
    )


def keeps_features(chosen: recipe.Recipe) -> bool:
    """Whether what the vision encoder makes of a photo is always the same."""
    model, data = chosen.model, chosen.data
    return model.cache_features and model.freeze_vision and not data.device_resize


def _finish(args: argparse.Namespace, chosen: recipe.Recipe, checkpoint: Path) -> None:
    try:
        model, adapter = merge(
            args.work / CONFIG,
            checkpoint,
            args.model,
            args.out.resolve(),
            args.dtype,
            share=chosen.model.share,
        )
        said = check.artefacts(args.model, model, adapter, args.photo, args.work.resolve())
    except (MergeError, check.CheckError) as error:
        if machine.is_out_of_memory(error):
            raise
        sys.exit(f"train: {error}")
    found: dict[str, Any] = {
        "checkpoint": str(checkpoint),
        "model": str(model),
        "adapter": str(adapter) if adapter else None,
        "answers": said,
    }
    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")


def _next_split(batch: int, split: int) -> int | None:
    """The next number of equal parts that a batch can be cut into; None: it is one record."""
    return next((n for n in range(2 * split, batch + 1) if batch % n == 0), None)


def _alone(work: Path, first: bool) -> Any:
    """Two processes shall not write into one folder: the file is locked while we live."""
    work.mkdir(parents=True, exist_ok=True)
    lock = (work / ".lock").open("w")
    if first:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"train: another process is training in {work}: wait for it, or stop it")
    return lock


def _join_processes(job: config.Job, deepspeed: bool) -> None:
    """Start torch.distributed for one process; torchrun's and DeepSpeed's start it themselves.

    XTuner asks for the rank even where there is one process, and DeepSpeed looks for MPI when the
    usual variables are absent.
    """
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    for key, value in (alone | {"MASTER_PORT": str(machine.free_port())}).items():
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
    parser.add_argument(
        "--dtype", choices=sorted(DTYPES), help="of the output; default: the base's"
    )
    parser.add_argument("--split", type=int, default=1, help="parts that a batch is cut into")
    parser.add_argument("--features", type=Path, help="folder of what frozen vision encoders made")
    parser.add_argument("--features-gb", type=float, default=20.0, help="that it may take")
    parser.add_argument(
        "--memory-gb", type=float, help="that we may take: of the GPU, or the CPU's"
    )
    parser.add_argument("--photo", type=Path, help="the result is asked about it")
    parser.add_argument(
        "--deepspeed-on-cpu", action="store_true", help="to rehearse what a GPU will do"
    )
    parser.add_argument(
        "--check", action="store_true", help="only say what is wrong with recipe, model or machine"
    )
    parser.add_argument("--watch", action="store_true", help="end when standard input ends")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. optimizer.lr=3e-4"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
