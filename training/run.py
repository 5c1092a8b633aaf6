"""Runs XTuner as a program: a dataset folder and a base model in, a checkpoint folder out.

```
 train ─▶ environment.ready ─▶ training.xtuner.train, in its own Python ─▶ progress.jsonl ─▶ on_step
            ▲                                     │
            │ out of memory: batches in more parts, on from the last checkpoint
            └─────────────────────────────────────┤
                                                  └▶ OUT/model, OUT/adapter; for the CPU: OpenVINO
```

Nothing of XTuner is imported here. A run that was killed, here or there, goes on where it was when
`train` is called again with the same folder; the child dies with us.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from foodcritic.errors import FoodcriticError
from foodcritic.settings import Settings
from training import child, environment, general, room
from training.child import ROOT, Step
from training.environment import Environment, Say, TrainingError

#: the photo that every result is asked about
PHOTO: Final = ROOT / "samples" / "pizza.jpg"
__all__ = ["Environment", "Step", "Trained", "TrainingError", "check", "train"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run leaves behind."""

    #: Hugging Face folder, adapters merged in: engines load it, a later run starts from it
    checkpoint: Path
    #: the adapter in PEFT's form, where the recipe trained one
    adapter: Path | None = None
    #: folder for the CPU engine, where one was built
    openvino: Path | None = None
    #: of the whole run: loss, iterations, samples_per_second, memory_mb, parts, answers, …
    metrics: dict[str, Any] = field(default_factory=dict)


OnStep = Callable[[Step], Awaitable[None]]


async def train(
    settings: Settings,
    recipe: str,
    dataset: Path,
    out: Path,
    base: Path,
    *,
    on_step: OnStep,
    say: Say = lambda line: None,
    overrides: Mapping[str, str] | None = None,
) -> Trained:
    """Train `base` on a dataset export (``train.json``, ``images/``) and return what came out.

    `recipe` is a name or the path of a .toml file, `overrides` maps its dotted keys to TOML
    literals. Everything is written under `out`; call again with the same arguments to go on after
    a kill. Cancel the task, or raise from `on_step`, to stop: the child and its children end.
    `say` is told in a line what is being done.

    Raises:
        TrainingError: with what to do; the whole log is ``out/work/train.log``.
    """
    python = await _ready(settings, recipe, out, base, say)
    work, data = out / "work", out / "work" / "train.json"
    mixed = general.mix(dataset, data, settings.train_replay, settings.train_replay_share)
    try:
        last = await _learn(settings, python, recipe, base, work, on_step, say, overrides or {})
        return await _keep(settings, python, base, out, last, say, general_records=mixed)
    except TrainingError:
        for name in ("merged", "merged-adapter"):  # gigabytes that nobody will ask for
            await asyncio.to_thread(shutil.rmtree, work / name, ignore_errors=True)
        raise


async def check(
    settings: Settings,
    recipe: str,
    out: Path,
    base: Path,
    *,
    say: Say = lambda line: None,
    overrides: Mapping[str, str] | None = None,
    python: Environment | None = None,
) -> None:
    """Whether `train` could begin: environment, disk, memory, recipe, overrides and base.

    `python`: the environment, where it is known already, and how much memory it may count on.

    Raises:
        TrainingError: with what to do.
    """
    python = await _ready(settings, recipe, out, base, say, python)
    asked = _command(settings, recipe, base, out / "work", 1, overrides or {})
    status, log = await child.once([str(python.python), "-m", *asked, "--check"])
    if status:
        raise TrainingError(child.why(status, log, None))


async def _keep(
    settings: Settings,
    python: Environment,
    base: Path,
    out: Path,
    last: Step | None,
    say: Say,
    **metrics: Any,
) -> Trained:
    """Put what the child made into its place, converted and checked."""
    work = out / "work"
    result = child.result(work)
    metrics |= {
        "torch": python.torch,
        "gpu": python.gpus[0].name if python.gpus else None,
        "parts": _parts(work),
        "answers": result["answers"],
    }
    if last is not None:
        metrics |= {name: getattr(last, name) for name in Step.__slots__ if name != "seconds_left"}
    merged = Path(result["model"])
    openvino = None
    if room.serves_on_cpu(settings, python, base):
        say("building the folder for the CPU engine")
        openvino, metrics["answers"]["openvino"] = await _convert(settings, merged)
    adapter = Path(result["adapter"]) if result["adapter"] else None
    if adapter is not None:
        adapter = _place(adapter, out / "adapter")
    checkpoint = _place(merged, out / "model")  # last: who finds it finds everything checked
    return Trained(checkpoint=checkpoint, adapter=adapter, openvino=openvino, metrics=metrics)


def trusted(settings: Settings, base: Path) -> None:
    """Refuse a base whose tokenizer is Python of its own which nobody has said may run.

    Of its other code none is ever run: see `xtuner.base`.
    """
    code = sorted(file.name for file in base.glob("tokenization_*.py"))
    known = {str(base), base.name, str(base.resolve())}
    if code and not known & set(settings.trusted_models):
        raise TrainingError(
            f"{base} brings code of its own ({code[0]}), which training would run: read it, and "
            f"set FOODCRITIC_TRUSTED_MODELS={base} to allow that"
        )


async def _ready(
    settings: Settings,
    recipe: str,
    out: Path,
    base: Path,
    say: Say,
    python: Environment | None = None,
) -> Environment:
    """What to train with, if it may begin; raises `TrainingError`."""
    trusted(settings, base)
    python = python or await environment.ready(settings, say)
    (out / "work").mkdir(parents=True, exist_ok=True)
    room.check(settings, python, recipe, base, out)
    return python


async def _learn(
    settings: Settings,
    python: Environment,
    recipe: str,
    base: Path,
    work: Path,
    on_step: OnStep,
    say: Say,
    overrides: Mapping[str, str],
) -> Step | None:
    """Run the child until it has ended well; its last step."""
    last: Step | None = None
    while True:
        parts = _parts(work)
        say(f"training {base.name} by {recipe}" + (f", batches in {parts} parts" * (parts > 1)))
        command = _launcher(settings, python)
        command += [*_command(settings, recipe, base, work, parts, overrides), "--watch"]
        place = (work / "train.log").stat().st_size if (work / "train.log").exists() else 0
        async with aclosing(child.steps(command, work)) as steps:
            async for step in steps:
                if isinstance(step, int):
                    status = step
                else:
                    last = step
                    await on_step(step)
        if status == 0:
            return last
        log = (work / "train.log").read_bytes()[place:].decode("utf-8", "replace").splitlines()
        smaller = child.smaller(log)
        if smaller is None:
            raise TrainingError(child.why(status, log, work))
        how = f"with batches in {smaller} parts" if smaller > parts else "in a new process"
        say(f"out of memory: going on {how}")
        _keep_parts(work, smaller)


def _command(
    settings: Settings,
    recipe: str,
    base: Path,
    work: Path,
    parts: int,
    overrides: Mapping[str, str],
) -> list[str]:
    command = [
        *("training.xtuner.train", recipe, "--model", str(base)),
        *("--data", str(work / "train.json"), "--images", "/", "--work", str(work)),
        *("--out", str(work / "merged"), "--split", str(parts), "--photo", str(PHOTO)),
        *("--features", str(settings.home / "features")),
        *("--features-gb", str(settings.train_cache_gb)),
    ]
    if settings.train_memory_gb is not None:
        command += ["--memory-gb", str(settings.train_memory_gb)]
    for key, text in overrides.items():
        command += ["--set", f"{key}={text}"]
    return command


def _launcher(settings: Settings, python: Environment) -> list[str]:
    """One process, or one for each GPU, started by torchrun."""
    count = min(settings.train_gpus, max(len(python.gpus), 1))
    if count == 1:
        return [str(python.python), "-m"]
    spread = ["--standalone", "--nproc-per-node", str(count)]
    return [str(python.python), "-m", "torch.distributed.run", *spread, "-m"]


def _parts(work: Path) -> int:
    path = work / "parts"
    return int(path.read_text(encoding="utf-8")) if path.exists() else 1


def _keep_parts(work: Path, parts: int) -> None:
    part = work / "parts.part"
    part.write_text(str(parts), encoding="utf-8")
    part.replace(work / "parts")


async def _convert(settings: Settings, model: Path) -> tuple[Path, str]:
    """The OpenVINO folder of a checkpoint, and what it says about the photo."""
    from engine import Generation, Message, export, openvino

    folder = await asyncio.to_thread(export.cached, model, settings.models)
    engine = await asyncio.to_thread(openvino.load, model, settings.models, concurrency=1)
    try:
        asked = Message(role="user", text="What dish is this?", images=(PHOTO,))
        how = Generation(greedy=True, max_new_tokens=24)
        async with aclosing(engine.stream([asked], how)) as pieces:
            return folder, "".join([piece async for piece in pieces]).strip()
    except FoodcriticError as error:
        raise TrainingError(f"{folder} was built but does not answer: {error}") from error
    finally:
        await engine.close()


def _place(made: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    made.rename(target)
    return target
