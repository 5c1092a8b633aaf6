"""From 200 corrections to a promoted model: how long it takes, with everything real.

    python -m benchmarks.gpu.lesson MODEL OUT.json --recipe nano-corrections
    python -m benchmarks.gpu.lesson 2B OUT.json --recipe critic-lora --mechanics --size 1280x960
        --card-gb 24

People send photos of drawn dishes to a worker, say of each answer what the dish is, and an
administrator approves: rows of the real database. Then the clock starts: `foodcritic train` with
real XTuner, gate and promotion, while others keep asking. After it people send views that nobody
taught. `--mechanics` is for a model with random weights, which no lesson makes better: the gate
has to refuse it, and it is promoted and taken back by hand. `--card-gb` holds the rest of the GPU's
memory, so that serving has to make room for training. The training environment is
FOODCRITIC_TRAIN_PYTHON or the usual one; without a GPU it works on the CPU, which rehearses it.
What is known so far is in OUT-unfinished.json, should something fail or SIGTERM cut it off.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.gpu import crowd, learnt, noted
from foodcritic import corrections, people, photos, queue, registry, runs
from foodcritic.columns import JobStatus, ReviewStatus
from foodcritic.db import Database
from foodcritic.jobs import Job, NewJob
from tests import drawn

#: Numbers of the people who teach, and of who asks afterwards; the crowd's begin at 1.
TEACHERS, EATER = 1000, 2000
#: Views that the crowd sends begin here, those of the eater here.
OTHERS, UNSEEN = 900, 500
#: Bounds that are not what is measured.
ROOM = {
    "FOODCRITIC_QUEUE_PER_USER": "1000",
    "FOODCRITIC_QUEUE_TOTAL": "5000",
    "FOODCRITIC_LANGUAGE": "en",
}
#: Holds the memory of a GPU but for so many GB, until its input ends.
HOLD = """
import sys, torch
free = torch.cuda.mem_get_info()[0]
kept = torch.empty(max(0, free - int(float(sys.argv[1]) * 1e9)), dtype=torch.uint8, device="cuda")
print("held", flush=True)
sys.stdin.read()
"""


async def lesson(given: Any, home: Path, found: noted.Found) -> None:
    """Teach, train, and ask again; what comes of it is noted in `found` as it comes."""
    more = ROOM | ({"FOODCRITIC_ENGINE": given.engine} if given.engine else {})
    found.note(model=str(given.model), recipe=given.recipe)
    given.photos = await asyncio.to_thread(_others, given, home.with_name("others"))
    async with _held(given.card_gb), crowd.crowded(given, home, **more) as others:
        db, env = others.db, os.environ | crowd.environment(given, home, **more)
        wrong = await _taught(db, given)
        pending = await corrections.pending(db, 1000)
        for said in pending:
            await corrections.review(db, said.id, ReviewStatus.APPROVED)
        began = time.perf_counter()
        _say(f"{len(pending)} corrections are approved, {wrong} of the answers were wrong")
        found.note(corrections=len(pending), wrong_before=wrong)
        try:
            await _trained(db, given, env, home, found)
        finally:
            found.note(run=await _run(db), exam=learnt.exam(home))
            learnt.keep(given.out, home)
        seconds = {"to_verdict": round(time.perf_counter() - began, 1)}
        found.note(seconds=seconds)
        if given.mechanics:
            seconds |= await _by_hand(db, env, home, began)
        else:
            await _serves(db, "critic-1")
            seconds["to_promoted"] = round(time.perf_counter() - began, 1)
            _say(f"promoted: {seconds['to_promoted']} s")
            found.note(right_after=await _asked_again(db, given, home / "worker.log"))
        await others.answered(given.users)
        jobs = await others.end()
    found.note(others=crowd.counted(jobs) | {"models": sorted({str(job.model) for job in jobs})})
    found.note(serving=learnt.told(home / "worker.log"))


async def _taught(db: Database, given: Any) -> int:
    """Each dish in so many views, each answer corrected; how many of the answers were wrong."""
    wrong = []

    async def teach(dish: int) -> None:
        person = TEACHERS + dish
        await people.set_user(db, "shell", person, consent=True)
        for view in range(given.views):
            job = await _answer(db, given, person, dish, view)
            wrong.append(drawn.NAMES[dish].lower() not in (job.answer or "").lower())
            await corrections.propose(
                db, job.id, "shell", person, dish=drawn.NAMES[dish], lang="en"
            )

    await asyncio.gather(*(teach(dish) for dish in range(len(drawn.NAMES))))
    return sum(wrong)


async def _asked_again(db: Database, given: Any, log: Path) -> dict[str, float]:
    """Views that nobody taught: what is named right, of all, and who answered."""
    views = [(d, UNSEEN + v) for v in range(given.unseen) for d in range(len(drawn.NAMES))]
    jobs = await asyncio.gather(*(_answer(db, given, EATER, *view) for view in views))
    right = [
        drawn.NAMES[dish].lower() in (job.answer or "").lower()
        for (dish, _), job in zip(views, jobs, strict=True)
    ]
    new = sum(job.model == "critic-1" for job in jobs)
    recalled = learnt.recalled(log) & {job.id for job in jobs}  # by the correction memory
    return {
        "asked": len(jobs),
        "right": statistics.fmean(right),
        "by_the_new_model": new,
        "recalled": len(recalled),
    }


async def _answer(db: Database, given: Any, person: int, dish: int, view: int) -> Job:
    photo = await asyncio.to_thread(
        lambda: photos.store(db.settings.media, _photo(dish, view, given.size))
    )
    new = NewJob(
        key=f"{person}-{dish}-{view}", channel="shell", chat_id=person, user_id=person,
        lang="en", photos=(photo,), deliver=False,
    )  # fmt: skip
    job = await queue.enqueue(db, new)
    while not (job := await queue.get(db, job.id)).is_finished:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    if job.status is not JobStatus.SUCCEEDED:
        raise SystemExit(f"job {job.id} {job.status}: {job.error}")
    return job


async def _trained(
    db: Database, given: Any, env: dict[str, str], home: Path, found: noted.Found
) -> None:
    """`foodcritic train`, and how long each stage of it takes."""
    command = ["train", "--recipe", given.recipe]
    command += [word for value in given.set for word in ("--set", value)]
    child = asyncio.create_task(_cli(env, home, *command))
    stages, before, changed = dict[str, float](), "start", time.perf_counter()

    def over(stage: str) -> None:
        stages[stage] = round(stages.get(stage, 0.0) + time.perf_counter() - changed, 1)
        found.note(stages=stages)
        _say(f"{stage}: {stages[stage]} s")

    try:
        while not child.done():
            run = await runs.unfinished(db)
            stage = str(run.stage or "start") if run else before
            if stage != before:
                over(before)
                before, changed = stage, time.perf_counter()
            await asyncio.sleep(0.2)
        over(before)
        _say(await child)
    finally:
        child.cancel()
        await asyncio.gather(child, return_exceptions=True)


async def _run(db: Database) -> dict[str, Any]:
    """The first run's end, figures and losses."""
    run, curve = await runs.get(db, 1), await runs.curve(db, 1)
    return {
        "status": str(run.status),
        "error": run.error,
        "metrics": run.metrics,
        "losses": [round(step.loss, 4) for step in curve],
        "steps": curve[-1].step if curve else 0,
    }


async def _by_hand(db: Database, env: dict[str, str], home: Path, began: float) -> dict[str, float]:
    """Promote what the gate refused, and go back, as an administrator would; seconds."""
    first = time.perf_counter()
    await _cli(env, home, "models", "promote", "critic-1")
    await _serves(db, "critic-1")
    promoted = time.perf_counter()
    await asyncio.sleep(5)
    second = time.perf_counter()
    await _cli(env, home, "models", "rollback")
    await _serves(db, None)
    return {
        "to_promoted": round(promoted - began, 1),
        "promotion": round(promoted - first, 1),
        "rollback": round(time.perf_counter() - second, 1),
    }


async def _serves(db: Database, name: str | None) -> None:
    async def met() -> bool:
        said = await registry.serving(db)
        if said and said.get("error"):
            raise SystemExit(f"not changed: {said['error']}")
        return said is not None and said["version"] == name

    await crowd.until(f"the change to {name}", met)


async def _cli(env: dict[str, str], home: Path, *words: str) -> str:
    """A command of the shell; its last line. It must end well."""
    log = home / "shell.log"
    with log.open("ab") as output:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "foodcritic", *words), env=env, stdout=output, stderr=output
        )
        try:
            status = await child.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
    said = log.read_text("utf-8", "replace").strip().splitlines()
    if status:
        raise SystemExit(f"foodcritic {' '.join(words)}: {said[-8:]}")
    return said[-1] if said else ""


@contextlib.asynccontextmanager
async def _held(gigabytes: float | None) -> AsyncIterator[None]:
    """A GPU on which only so many GB are free."""
    if gigabytes is None:
        yield
        return
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(gigabytes)), stdin=pipe, stdout=pipe
    )
    try:
        assert holder.stdout is not None
        if not await holder.stdout.readline():
            raise SystemExit("the GPU's memory cannot be held")
        yield
    finally:
        holder.kill()
        await holder.wait()


def _photo(dish: int, view: int, size: tuple[int, int] | None) -> bytes:
    data = drawn.view(dish, view)
    if size is None:
        return data
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _others(given: Any, folder: Path) -> Path:
    """What the crowd sends."""
    folder.mkdir(parents=True)
    for number in range(40):
        photo = _photo(number % len(drawn.NAMES), OTHERS + number, given.size)
        (folder / f"photo-{number}.jpg").write_bytes(photo)
    return folder


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--views", type=int, default=10, help="of each of 20 dishes, corrected")
    parser.add_argument("--unseen", type=int, default=3, help="of each, asked afterwards")
    parser.add_argument("--size", type=_size, help="of photos, e.g. 1280x960; default 320x320")
    parser.add_argument("--users", type=int, default=2, help="who keep asking")
    parser.add_argument("--rest", type=float, default=0.0, help="seconds, after an answer")
    parser.add_argument("--card-gb", type=float)
    parser.add_argument("--engine", help="default: what the machine has")
    parser.add_argument("--mechanics", action="store_true")
    given = parser.parse_args()
    given.model, given.out = given.model.resolve(), given.out.resolve()
    found, started = noted.Found(given.out), time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        try:
            asyncio.run(noted.until_told(lesson(given, Path(home) / "home", found)))
        except BaseException as error:
            found.note(error=str(error) or repr(error))
            raise
        finally:
            found.note(whole_seconds=round(time.perf_counter() - started, 1))
            for log in Path(home).rglob("*.log"):
                kept = given.out.with_name(f"{given.out.stem}-{log.stem}.log")
                kept.write_bytes(log.read_bytes()[-(2**18) :])
    found.note(claims=learnt.claims(given, found.figures))
    found.finish()
    _say(json.dumps({key: found.figures[key] for key in ("seconds", "others", "exam")}))
    for claim, holds in found.figures["claims"].items():
        _say(f"{'holds' if holds else 'FAILS'}: {claim}")
    raise SystemExit(not all(found.figures["claims"].values()))


if __name__ == "__main__":
    main()
