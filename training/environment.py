"""Training's own Python: prepared, checked, and asked what the machine has.

    FOODCRITIC_TRAIN_PYTHON, or training/xtuner/.venv, made by uv from requirements.lock
                       └─▶ probe: versions, GPU, free memory ─▶ Environment | TrainingError

XTuner's pins cannot meet the bot's, so nothing of it is importable here: the Python is run.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from foodcritic.errors import FoodcriticError
from foodcritic.settings import Settings

FOLDER: Final = Path(__file__).parent / "xtuner"
VENV: Final = FOLDER / ".venv"
LOCK: Final = FOLDER / "requirements.lock"
#: Bytes that the environment takes, with room to unpack.
SIZE: Final = 12 * 10**9
#: torch versions that XTuner 0.2.0 was seen to run with.
TORCH: Final = ((2, 6), (2, 11))
#: What must be there, with the version where only one will do.
NEEDED: Final = {"xtuner": "0.2.0", "mmengine": "0.10.6", "transformers": "4.48.0"}
WANTED: Final = ("deepspeed", "peft", "safetensors", "timm")

PROBE: Final = """
import importlib.metadata as m, json, sys
found = {"python": sys.version.split()[0]}
for name in sys.argv[1:]:
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: found[name] = None
try:
    import torch
    found["torch"] = torch.__version__
    found["cuda"] = torch.version.cuda
    found["gpus"] = [
        [torch.cuda.get_device_name(i), *torch.cuda.mem_get_info(i)]
        for i in range(torch.cuda.device_count())
    ]
except Exception as error:
    found["torch_error"] = repr(error)
print(json.dumps(found))
"""


class TrainingError(FoodcriticError):
    """Training could not start or end; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    name: str
    #: bytes
    free: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A Python that can train, and what it sees."""

    python: Path
    torch: str
    deepspeed: str | None
    gpus: tuple[Gpu, ...]


Say = Callable[[str], object]


async def ready(settings: Settings, say: Say = lambda line: None) -> Environment:
    """The Python to train with, made first if need be (6 GB; a minute on a fast line).

    Raises:
        TrainingError: it cannot be made, or lacks something; with what to do.
    """
    given = settings.train_python
    if given is not None:
        if not given.is_file():
            raise TrainingError(f"FOODCRITIC_TRAIN_PYTHON={given} is no file: name a Python")
        return judge(given, await _probe(given), given=True)
    python = VENV / "bin" / "python"
    if not _fresh():
        await _make(say)
    return judge(python, await _probe(python), given=False)


def is_there(settings: Settings) -> bool:
    """Whether `ready` need not make anything."""
    return settings.train_python is not None or _fresh()


def makeable() -> str:
    """The path of uv, if it could make the environment now.

    Raises:
        TrainingError: there is no uv, or no room.
    """
    free = shutil.disk_usage(FOLDER).free
    if free < SIZE:
        raise TrainingError(
            f"training's environment needs {SIZE / 1e9:.0f} GB, {FOLDER} has {free / 1e9:.1f} "
            "free: make room, or name an environment by FOODCRITIC_TRAIN_PYTHON"
        )
    return _uv()


def judge(python: Path, found: dict[str, Any], *, given: bool) -> Environment:
    """What a probe's answer means; raises TrainingError naming what is wrong and the remedy."""
    remedy = (
        f"install it there, or unset FOODCRITIC_TRAIN_PYTHON ({python})"
        if given
        else f"remove {VENV} and run `foodcritic train` again"
    )
    if "torch" not in found:
        raise TrainingError(f"{python} cannot import torch ({found.get('torch_error')}): {remedy}")
    version = tuple(int(part) for part in str(found["torch"]).split("+")[0].split(".")[:2])
    if not TORCH[0] <= version <= TORCH[1]:
        low, high = (".".join(map(str, v)) for v in TORCH)
        raise TrainingError(f"torch {found['torch']} is not {low} to {high}: {remedy}")
    for name, wanted in NEEDED.items():
        if found.get(name) != wanted:
            raise TrainingError(f"{name} is {found.get(name) or 'missing'}, not {wanted}: {remedy}")
    for name in WANTED:
        if not found.get(name) and not (name == "deepspeed" and not found["gpus"]):
            raise TrainingError(f"{name} is missing: {remedy}")
    gpus = tuple(Gpu(name=n, free=f, total=t) for n, f, t in found["gpus"])
    return Environment(
        python=python, torch=found["torch"], deepspeed=found.get("deepspeed"), gpus=gpus
    )


async def _probe(python: Path) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(str(python), "-c", PROBE, *NEEDED, *WANTED),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    try:
        found: dict[str, Any] = json.loads(out.decode().strip().splitlines()[-1])
    except (ValueError, IndexError):
        said = err.decode("utf-8", "replace").strip().splitlines()[-3:]
        raise TrainingError(f"{python} does not run: {' / '.join(said) or 'no output'}") from None
    return found


def _fresh() -> bool:
    """Whether the environment is there and younger than its lock (make's rule, and mark)."""
    mark = VENV / ".installed"
    return mark.exists() and mark.stat().st_mtime >= LOCK.stat().st_mtime


async def _make(say: Say) -> None:
    async with _alone():
        if _fresh():
            return  # another process was at it while we waited
        uv = makeable()
        say(f"preparing {VENV}, 6 GB, once")
        python = str(VENV / "bin" / "python")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        await _run(uv, "venv", "--quiet", "--allow-existing", "--python", version, str(VENV))
        await _run(
            *(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes"),
            *("-r", str(LOCK)),
        )
        (VENV / ".installed").touch()


def _uv() -> str:
    beside = Path(sys.executable).parent
    places = [shutil.which("uv"), beside / "uv", Path.home() / ".local" / "bin" / "uv"]
    for place in places:
        if place and Path(place).exists():
            return str(place)
    raise TrainingError(
        "uv is missing, which makes training's environment: `pip install uv`, or make it yourself "
        "and set FOODCRITIC_TRAIN_PYTHON"
    )


async def _run(*command: str) -> None:
    environment = {**os.environ, "DS_BUILD_OPS": "0"}  # no CUDA compiler is asked for
    environment.pop("VIRTUAL_ENV", None)
    child = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, err = await child.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        raise
    if child.returncode:
        said = err.decode("utf-8", "replace").strip().splitlines()[-6:]
        raise TrainingError(
            "training's environment could not be made: " + "\n".join(said) + "\n"
            "is there a network? otherwise make it elsewhere and set FOODCRITIC_TRAIN_PYTHON"
        )


@contextlib.asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    """One process makes it at a time."""
    try:
        lock = (FOLDER / ".venv.lock").open("w")
    except OSError as error:
        raise TrainingError(
            f"{FOLDER} cannot be written ({error.strerror}): set FOODCRITIC_TRAIN_PYTHON"
        ) from error
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(1)
        yield
