"""What people get while the worker is killed, while its model changes, and over a killed server.

    python -m benchmarks.gpu.endure kills MODEL PHOTOS OUT.json [--kills 10] [--users 32]
    python -m benchmarks.gpu.endure swap MODEL PHOTOS OUT.json --beside NEXT
    python -m benchmarks.gpu.endure serve MODEL PHOTOS OUT.json [--replicas 2] [--kills 4]
    python -m benchmarks.gpu.endure choose MODEL PHOTOS OUT.json

Real processes, jobs and photos: users send a photo, wait for its answer, and send the next. Each
writes one JSON file with what it counted and the claims that hold, and exits with 1 unless all do;
what is known so far is in OUT-unfinished.json. Works with whatever engine the machine has; PHOTOS
is a folder of JPEG files.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu import crowd
from benchmarks.gpu.noted import Found, until_told
from engine import openai
from foodcritic import registry
from foodcritic.columns import JobStatus
from foodcritic.errors import FoodcriticError
from foodcritic.jobs import Job
from foodcritic.settings import Settings

#: Seconds of load before a kill.
LOAD = 1.0
PORT = 23411


def pid_of(job: Job) -> int:
    return int(str(job.worker).split("-")[-2])


async def kills(given: Any, home: Path, noted: Found) -> dict[str, Any]:
    """SIGKILL to the worker in the middle of its work, again and again."""
    back: list[float] = []
    async with crowd.crowded(given, home) as people:
        for _ in range(given.kills):
            await asyncio.sleep(LOAD)
            busy = [job for job in await people.now() if job.status is JobStatus.DOING]
            if not busy:
                await people.answered(1)
                busy = [job for job in await people.now() if job.status is JobStatus.DOING]
            killed = time.perf_counter()
            for pid in {pid_of(job) for job in busy}:
                with contextlib.suppress(ProcessLookupError):  # it died of something else
                    os.kill(pid, signal.SIGKILL)
            await people.answered(1)
            back.append(time.perf_counter() - killed)
            noted.note(seconds_to_an_answer=back)
            _say(f"kill {len(back)}: answers again after {back[-1]:.1f} s")
        jobs = await people.end()
    found = crowd.counted(jobs) | {"kills": len(back), "seconds_to_an_answer": back}
    return found | {"claims": {"every job answered or apologised for": found["lost"] == 0}}


async def swap(given: Any, home: Path, noted: Found) -> dict[str, Any]:
    """Another model is promoted under load, and taken back."""
    async with crowd.crowded(given, home) as people:
        db, folder = people.db, home / "models" / "next"
        await asyncio.to_thread(shutil.copytree, given.beside, folder)
        sha256 = await asyncio.to_thread(registry.digest, folder)
        await registry.add(db, name="next", path=folder, base=str(given.model), sha256=sha256)
        seconds = []
        for name in ("next", None):
            started = time.perf_counter()
            if name:
                await registry.promote(db, name)
            else:
                await registry.rollback(db, reason="tried")

            async def met(name: str | None = name) -> bool:
                said = await registry.serving(db)
                if said and said.get("error"):
                    raise SystemExit(f"not changed: {said['error']}")
                return said is not None and said["version"] == name

            await crowd.until(f"the change to {name}", met)
            seconds.append(time.perf_counter() - started)
            noted.note(seconds_to_change=seconds)
            _say(f"{name or 'the first'} serves after {seconds[-1]:.1f} s")
            await people.answered(given.users)
        jobs = await people.end()
    found = crowd.counted(jobs) | {"seconds_to_change": seconds}
    models = {str(job.model) for job in jobs}
    claims = {
        "every job answered": found["answered"] == len(jobs),
        "at the first attempt": all(job.attempts == 1 for job in jobs),
        "by both models": {"next", given.model.resolve().name} <= models | {given.model.name},
    }
    return found | {"models": sorted(models), "claims": claims}


async def serve(given: Any, home: Path, noted: Found) -> dict[str, Any]:
    """`foodcritic engine serve`, a worker in front of it, and kills of its servers."""
    await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
    env = os.environ | crowd.environment(given, home) | {"FOODCRITIC_ENGINE_KEY": "secret"}
    command = [sys.executable, "-m", "foodcritic", "engine", "serve", "--port", str(PORT)]
    command += ["--replicas", str(given.replicas)]
    log = home / "serve.log"
    with log.open("wb") as output:
        server = await asyncio.create_subprocess_exec(
            *command, env=env, stdout=output, stderr=output
        )
    url, back = f"http://127.0.0.1:{PORT}", list[float]()
    client = {"FOODCRITIC_ENGINE": "openai", "FOODCRITIC_ENGINE_URL": url, "FOODCRITIC_MODEL": ""}
    client |= {"FOODCRITIC_ENGINE_KEY": "secret", "FOODCRITIC_TRUSTED_MODELS": ""}
    try:
        settings = crowd.configured(given, home / "client", **client)

        async def met() -> bool:
            if server.returncode is not None:
                raise SystemExit(log.read_text()[-2000:])
            with contextlib.suppress(FoodcriticError):
                await (await openai.connect(settings)).close()
                return True
            return False

        await crowd.until("a server", met)
        async with crowd.crowded(given, home / "client", **client) as people:
            await people.answered(given.users)
            for number in range(given.kills):
                pid = _children(log)[f"server-{number % given.replicas}"]
                killed = time.perf_counter()
                os.kill(pid, signal.SIGKILL)
                await people.answered(4)
                back.append(time.perf_counter() - killed)
                noted.note(seconds_to_answers=back)
                _say(f"kill {number + 1}: four more answers within {back[-1]:.1f} s")
            jobs = await people.end()
    finally:
        server.terminate()
        await asyncio.wait_for(server.wait(), 60)
    found = crowd.counted(jobs) | {"replicas": given.replicas, "kills": len(back)}
    found["seconds_to_answers"] = back
    return found | {"claims": {"every job answered or apologised for": found["lost"] == 0}}


async def choose(given: Any, home: Path, noted: Found) -> dict[str, Any]:
    """What FOODCRITIC_ENGINE=auto comes to on this machine, with and without a model."""
    import engine
    from engine import Generation, Message, choice, doctor, hub

    found: dict[str, Any] = {}
    plain = Settings(_env_file=None, home=home)  # type: ignore[call-arg]
    cases = {
        "no model": plain,
        "a model that cannot be had": plain.model_copy(
            update={"trusted_models": (hub.DEFAULT,), "models": home / "none"}
        ),
        "a model": plain.model_copy(
            update={"model": str(given.model), "trusted_models": (str(given.model),)}
        ),
    }
    photo = sorted(given.photos.glob("*.jpg"))[0]
    for name, settings in cases.items():
        chosen = choice.choose(settings)
        said = [f"{one.level}: {one.text}" for one in doctor.examine(settings)]
        case: dict[str, Any] = {"kind": chosen.kind, "reason": chosen.reason, "doctor": said}
        try:
            made = await engine.load(settings)
        except (FoodcriticError, ImportError) as error:  # no OpenVINO on this machine
            case["error"] = repr(error)
        else:
            asked = [Message(role="user", text="What is this?", images=(photo,))]
            how = Generation(greedy=True, max_new_tokens=32)
            case["engine"], case["model"] = type(made).__name__, made.model
            case["said"] = "".join([piece async for piece in made.stream(asked, how)])
            await made.close()
        found[name] = case
        noted.note(**found)
        _say(f"{name}: {json.dumps(case)[:300]}")
    claims = {"the model answers": bool(found["a model"].get("said"))}
    if choice.installed():
        claims["a GPU without a model says what is missing"] = bool(found["no model"]["reason"])
    return found | {"claims": claims}


def _children(log: Path) -> dict[str, int]:
    """The newest process of each child."""
    lines = [line for line in log.read_text().splitlines() if '"child.started"' in line]
    return {one["child"]: one["pid"] for one in map(json.loads, lines)}


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    for command in (kills, swap, serve, choose):
        one = commands.add_parser(command.__name__, help=command.__doc__)
        one.add_argument("model", type=Path)
        one.add_argument("photos", type=Path)
        one.add_argument("out", type=Path)
        one.add_argument("--users", type=int, default=32)
        one.add_argument("--kills", type=int, default=4 if command is serve else 10)
        one.add_argument("--replicas", type=int, default=1)
        one.add_argument("--beside", type=Path, required=command is swap)
        one.set_defaults(run=command)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        noted, started = Found(given.out), time.perf_counter()
        try:
            found = asyncio.run(until_told(given.run(given, Path(home) / "home", noted)))
        except BaseException as error:
            noted.note(error=str(error) or repr(error))
            raise
        finally:
            for log in Path(home).rglob("*.log"):
                kept = given.out.with_name(f"{given.out.stem}-{log.stem}.log")
                kept.write_bytes(log.read_bytes()[-(2**17) :])
    noted.note(**found, seconds=time.perf_counter() - started)
    noted.finish()
    _say(json.dumps({key: found[key] for key in found if not isinstance(found[key], dict)}))
    for claim, holds in found["claims"].items():
        _say(f"{'holds' if holds else 'FAILS'}: {claim}")
    raise SystemExit(not all(found["claims"].values()))


if __name__ == "__main__":
    main()
