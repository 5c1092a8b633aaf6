"""Time the queue: what it adds to an answer, a claim over a million old jobs, and its peers.

    python benchmarks/bench_queue.py [--json FILE] [--rows 1000000] [--only overhead …]
    uv pip install --target build/peers -r benchmarks/requirements.txt    # then also:
    python benchmarks/bench_queue.py --peers build/peers

Every number is of this machine, now. The engine is trivial (its first token costs nothing), so
*overhead* is all queue: from the return of `enqueue` (the request is on the disk) to the first
token in the hands of whoever follows the draft. PostgreSQL takes part where
FOODCRITIC_TEST_POSTGRES names a server (``eval "$(.ci/postgres)"``). Peers run the same number of
jobs as their documentation suggests; for them the clock stops when the job's function begins.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import create_async_engine

sys.path.insert(0, str(Path(__file__).parents[1]))
del sys.path[1]  # this folder: nothing here may shadow the standard library

from foodcritic import db as database  # noqa: E402
from foodcritic import queue, wake  # noqa: E402
from foodcritic.db import Database  # noqa: E402
from foodcritic.jobs import JOBS as JOBS_TABLE  # noqa: E402
from foodcritic.settings import Settings  # noqa: E402

POSTGRES = os.environ.get("FOODCRITIC_TEST_POSTGRES")
JOBS = 200

WORKER = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from benchmarks.bench_queue import work
from foodcritic import db as database, settings
async def main():
    db = await database.connect(settings.load(_env_file=None))
    sys.stdout.write("ready\\n"); sys.stdout.flush()
    await work(db)
asyncio.run(main())
"""


def new(key: str, user: int = 1) -> queue.NewJob:
    """A request without a photo."""
    return queue.NewJob(key=key, channel="bench", chat_id=user, user_id=user, lang="en")


async def work(db: Database) -> None:
    """A worker with a trivial engine: the first token is there at once."""
    async with wake.listen(db, "jobs") as bell:
        while True:
            job = await queue.claim(db, "bench")
            if job is None:
                await bell.wait()
                continue
            await queue.draft(db, job, "Ramen")
            await queue.finish(db, job, answer="Ramen")


async def first_token(db: Database, key: str) -> float:
    """Seconds from the commit of a request to its first token, seen by a follower."""
    job = await queue.enqueue(db, new(key))
    committed = time.perf_counter()
    async with wake.listen(db, f"draft:{job.id}") as bell:
        while True:
            seen = await queue.get(db, job.id)
            if seen.draft or seen.answer:
                return time.perf_counter() - committed
            await bell.wait()


async def overhead(settings: Settings, *, processes: bool) -> dict[str, float]:
    """p50 and p95 of `first_token`, the worker in this loop or in a process of its own."""
    async with database.connected(settings) as db:
        if processes:
            environment = {**os.environ, "FOODCRITIC_HOME": str(settings.home)}
            if settings.database_url is not None:
                environment["FOODCRITIC_DATABASE_URL"] = settings.database_url.get_secret_value()
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WORKER, str(Path(__file__).parents[1])),
                stdout=asyncio.subprocess.PIPE,
                env=environment,
            )
            assert worker.stdout is not None
            await worker.stdout.readline()
        else:
            task = asyncio.create_task(work(db))
        for n in range(20):
            await first_token(db, f"warm{n}")
        took = [await first_token(db, str(n)) for n in range(JOBS)]
        if processes:
            worker.kill()
            await worker.communicate()
        else:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return percentiles(took)


async def enqueue_rate(settings: Settings, *, at_once: int) -> dict[str, float]:
    """Durable requests taken in per second."""
    total = 2000
    async with database.connected(settings) as db:
        took = cpu = 0.0
        for first in range(0, total, JOBS):
            numbers = iter(range(first, first + JOBS))

            async def client(numbers: Iterator[int]) -> None:
                for n in numbers:
                    await queue.enqueue(db, new(str(n), user=n))

            start, started = time.perf_counter(), time.process_time()
            await asyncio.gather(*(client(numbers) for _ in range(at_once)))
            took += time.perf_counter() - start
            cpu += time.process_time() - started
            async with db.write() as session:  # answered meanwhile
                await session.execute(sa.text("UPDATE jobs SET status = 'succeeded'"))
        return {"per_second": total / took, "cpu_ms": 1000 * cpu / total}


async def burst(settings: Settings) -> dict[str, float]:
    """Seconds for `JOBS` waiting jobs to be claimed, drafted and finished by one worker."""
    async with database.connected(settings) as db:
        for n in range(JOBS):
            await queue.enqueue(db, new(str(n), user=n))
        start = time.perf_counter()
        while (job := await queue.claim(db, "bench")) is not None:
            await queue.draft(db, job, "Ramen")
            await queue.finish(db, job, answer="Ramen")
        return {"seconds": time.perf_counter() - start}


async def claims(settings: Settings, backend: str, rows: int) -> dict[str, float]:
    """Claim latency in an empty table and in one with `rows` finished jobs, taking turns."""
    async with (
        _fresh(backend) as other,
        database.connected(settings) as empty,
        database.connected(other) as full,
    ):
        await _claim(full, "first")
        await _fill(full, rows)
        times: dict[bool, list[float]] = {True: [], False: []}
        for n in range(600):
            times[True].append(await _claim(full, str(n)))
            times[False].append(await _claim(empty, str(n)))
    warm = {is_full: percentiles(took[100:])["p50_ms"] for is_full, took in times.items()}
    return {
        "empty_p50_ms": warm[False],
        "full_p50_ms": warm[True],
        "ratio": warm[True] / warm[False],
        "rows": rows,
    }


async def _claim(db: Database, key: str) -> float:
    """Seconds of one claim, the only one waiting."""
    await queue.enqueue(db, new(key))
    start = time.perf_counter()
    job = await queue.claim(db, "bench")
    took = time.perf_counter() - start
    assert job is not None
    await queue.finish(db, job, answer="")
    return took


async def _fill(db: Database, rows: int) -> None:
    """Finished, delivered jobs of a thousand users, made from one row by the database itself."""
    columns = [c.name for c in JOBS_TABLE.c if c.name != "id"]
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
        if db.dialect == "sqlite"
        else f"WITH n(i) AS (SELECT generate_series(1, {rows}))"
    )
    chosen = ", ".join("'old' || n.i" if c == "key" else f"jobs.{c}" for c in columns)
    async with db.write() as session:
        await session.execute(
            sa.text(
                f"INSERT INTO jobs ({', '.join(columns)}) {numbers} SELECT {chosen} FROM n, jobs "
                "WHERE jobs.id = (SELECT max(id) FROM jobs)"
            )
        )
        await session.execute(sa.text("UPDATE jobs SET delivered = finished"))
    if db.dialect == "postgresql":
        async with db.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(sa.text("VACUUM ANALYZE jobs"))


# Peers: the same JOBS jobs, as their documentation suggests


def huey_sqlite(home: Path) -> dict[str, float]:
    """huey on SQLite: one consumer thread in this process, its defaults."""
    queue_: Any = importlib.import_module("huey").SqliteHuey(filename=str(home / "huey.db"))
    began = threading.Event()

    def job() -> None:
        began.set()

    task = queue_.task()(job)
    consumer = queue_.create_consumer(workers=1)
    consumer.start()
    try:
        return _peer(task, began)
    finally:
        consumer.stop(graceful=True)


def dbos_sqlite(home: Path, *, polling: float | None) -> dict[str, float]:
    """DBOS on SQLite: a queue with one workflow per job; `polling` seconds, None: its default."""
    dbos: Any = importlib.import_module("dbos").DBOS
    dbos(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{home / f'dbos-{polling}.db'}",
            "log_level": "ERROR",
            "run_admin_server": False,
        }
    )
    began = threading.Event()

    def job() -> None:
        began.set()

    workflow = dbos.workflow(name=f"job-{polling}")(job)
    dbos.launch()
    options = {} if polling is None else {"polling_interval_sec": polling}
    jobs = dbos.register_queue(f"bench-{polling}", **options)
    try:
        return _peer(lambda: jobs.enqueue(workflow), began)
    finally:
        dbos.destroy(destroy_registry=True)


async def procrastinate_postgresql(url: str) -> dict[str, float]:
    """procrastinate on PostgreSQL: a worker in this loop, woken by LISTEN/NOTIFY, its defaults."""
    procrastinate: Any = importlib.import_module("procrastinate")
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    began = asyncio.Event()

    async def job() -> None:
        began.set()

    task = app.task(name="job")(job)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        worker = asyncio.create_task(app.run_worker_async(install_signal_handlers=False))
        await asyncio.sleep(0.5)
        took = []
        for _ in range(JOBS):
            began.clear()
            await task.defer_async()
            committed = time.perf_counter()
            await began.wait()
            took.append(time.perf_counter() - committed)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return percentiles(took)


def _peer(enqueue: Callable[[], Any], began: threading.Event) -> dict[str, float]:
    took: list[float] = []
    limit = time.monotonic() + 60
    while len(took) < JOBS and time.monotonic() < limit:
        began.clear()
        enqueue()
        committed = time.perf_counter()
        began.wait(30)
        took.append(time.perf_counter() - committed)
    return percentiles(took)


# The whole


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds: the median, the 95th percentile, and how many there were."""
    ordered = sorted(seconds)
    return {
        "p50_ms": 1000 * statistics.median(ordered),
        "p95_ms": 1000 * ordered[int(0.95 * (len(ordered) - 1))],
        "n": len(ordered),
    }


@contextlib.asynccontextmanager
async def _fresh(backend: str) -> AsyncIterator[Settings]:
    """Settings of an empty database."""
    with tempfile.TemporaryDirectory(prefix="foodcritic-bench-") as folder:
        values: dict[str, Any] = {"home": Path(folder), "queue_total": 10**6}
        if backend == "sqlite":
            yield Settings(_env_file=None, **values)  # type: ignore[call-arg]
            return
        name = f"bench_{secrets.token_hex(4)}"
        await _command(f"CREATE DATABASE {name}")
        try:
            yield Settings(_env_file=None, database_url=_url(name), **values)  # type: ignore[call-arg, arg-type]
        finally:
            await _command(f"DROP DATABASE {name} WITH (FORCE)")


async def _command(sql: str) -> None:
    url = sa.make_url(POSTGRES or "").set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(sa.text(sql))
    await engine.dispose()


def _url(name: str) -> str:
    return sa.make_url(POSTGRES or "").set(database=name).render_as_string(hide_password=False)


async def _ours(only: set[str], rows: int, results: dict[str, dict[str, float]]) -> None:
    for backend in ("sqlite", "postgresql") if POSTGRES else ("sqlite",):
        cells: dict[str, Callable[..., Any]] = {
            "overhead, one process": lambda s: overhead(s, processes=False),
            "overhead, two processes": lambda s: overhead(s, processes=True),
            "enqueue, one by one": lambda s: enqueue_rate(s, at_once=1),
            "enqueue, 16 at once": lambda s: enqueue_rate(s, at_once=16),
            f"burst of {JOBS}": burst,
            "claim": lambda s, backend=backend: claims(s, backend, rows),
        }
        for name, cell in cells.items():
            if not only or name.split(",")[0].split()[0] in only:
                async with _fresh(backend) as settings:
                    results[f"{backend}: {name}"] = await cell(settings)


async def _procrastinate(results: dict[str, dict[str, float]]) -> None:
    async with _fresh("postgresql") as settings:
        url = settings.database.replace("+asyncpg", "")
        results["procrastinate (PostgreSQL)"] = await procrastinate_postgresql(url)


def main() -> None:
    """Run what was asked for; print a table, and JSON where asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", type=Path)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--peers", type=Path, help="folder with what requirements.txt lists")
    options.add_argument("--only", nargs="*", default=[], help="overhead enqueue burst claim peers")
    given = options.parse_args()
    only, results = set(given.only), dict[str, dict[str, float]]()
    if only != {"peers"}:
        asyncio.run(_ours(only, given.rows, results))
    if given.peers and (not only or "peers" in only):
        sys.path.append(str(given.peers.resolve()))
        with tempfile.TemporaryDirectory(prefix="foodcritic-bench-") as folder:
            results["huey (SQLite)"] = huey_sqlite(Path(folder))
            results["DBOS (SQLite), 50 ms polling"] = dbos_sqlite(Path(folder), polling=0.05)
            results["DBOS (SQLite)"] = dbos_sqlite(Path(folder), polling=None)
        if POSTGRES:
            asyncio.run(_procrastinate(results))
    table = Table("what", "result", title=f"{JOBS} jobs, {os.cpu_count()} cores")
    for name, result in results.items():
        table.add_row(name, "  ".join(f"{key} {value:,.4g}" for key, value in result.items()))
    Console().print(table)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
