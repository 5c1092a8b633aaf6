"""Children are kept alive, and a killed worker costs a restart, not a job."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from foodcritic import db as database
from foodcritic import orphans, queue, supervise, tending
from foodcritic.columns import JobStatus
from foodcritic.settings import Settings
from tests.conftest import new_job

HANG = 60.0  #: seconds after which nothing will come any more


def script(tmp_path: Path, body: str) -> list[str]:
    file = tmp_path / "child.py"
    file.write_text(body)
    return [sys.executable, str(file)]


async def until(condition: Callable[[], bool], within: float = HANG) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 the other side is another process
            await asyncio.sleep(0.02)


async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    command = script(tmp_path, f"open({str(marks)!r}, 'a').write('x'); raise SystemExit(3)")
    stop, dead = asyncio.Event(), list[int]()

    async def died(pid: int) -> None:
        dead.append(pid)

    keeping = asyncio.create_task(
        supervise.keep("child", command, stop, died=died, first_wait=0.01)
    )
    await until(lambda: marks.exists() and len(marks.read_text()) >= 3)
    stop.set()
    await asyncio.wait_for(keeping, HANG)
    assert len(set(dead)) >= 2


async def test_a_child_that_freezes_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Native code that never lets go of the interpreter: nothing inside could notice."""
    monkeypatch.setattr(supervise, "LOOK", 0.05)
    marks = tmp_path / "marks"
    command = script(
        tmp_path,
        "import asyncio, os, signal\n"
        "from foodcritic import supervise\n"
        "async def main():\n"
        "    asyncio.ensure_future(supervise.orphaned(asyncio.Event()))\n"
        "    await asyncio.sleep(0.1)\n"
        f"    open({str(marks)!r}, 'a').write('x')\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "asyncio.run(main())",
    )
    stop, dead = asyncio.Event(), list[int]()

    async def died(pid: int) -> None:
        dead.append(pid)

    keeping = asyncio.create_task(
        supervise.keep("child", command, stop, died=died, frozen=0.5, first_wait=0.01)
    )
    await until(lambda: marks.exists() and marks.read_text() == "xx")
    assert len(dead) == 1
    await until(lambda: len(dead) == 2)
    stop.set()
    await asyncio.wait_for(keeping, HANG)


async def test_a_worker_that_cannot_load_its_model_answers_with_another(tmp_path: Path) -> None:
    """Out of memory in native code ends the process: no fallback inside it could help."""
    marks = tmp_path / "marks"
    command = script(
        tmp_path,
        "import asyncio, os\n"
        "from foodcritic import supervise\n"
        f"marks = open({str(marks)!r}, 'a')\n"
        "marks.write(os.environ.get('FOODCRITIC_ENGINE', 'x') + ' ')\n"
        "marks.flush()\n"
        "if 'FOODCRITIC_ENGINE' not in os.environ: os.abort()\n"
        "asyncio.run(supervise.orphaned(asyncio.Event()))",
    )
    stop, dead = asyncio.Event(), list[int]()

    async def died(pid: int) -> None:
        dead.append(pid)

    tending_ = asyncio.create_task(
        tending.tend(command, stop, died=died, instead=[tending.NANO], first_wait=0.01)
    )
    await until(lambda: marks.exists() and marks.read_text() == "x x x openvino ")
    assert len(dead) == 3
    stop.set()
    await asyncio.wait_for(tending_, HANG)


async def test_a_worker_that_dies_in_8_bits_loads_its_model_in_16(tmp_path: Path) -> None:
    """And where it dies of something else, nano answers."""
    marks = tmp_path / "marks"
    command = script(
        tmp_path,
        "import os\n"
        f"marks = open({str(marks)!r}, 'a')\n"
        "bits = os.environ['FOODCRITIC_WEIGHT_BITS']\n"
        "marks.write(bits + os.environ.get('FOODCRITIC_ENGINE', '') + ' ')\n"
        "marks.flush()\n"
        "os.abort()",
    )
    stop, fallen = asyncio.Event(), list[str]()

    async def died(pid: int) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOODCRITIC_WEIGHT_BITS", "8")
        patch.delenv("FOODCRITIC_ENGINE", raising=False)
        tending_ = asyncio.create_task(
            tending.tend(
                command,
                stop,
                died=died,
                instead=[tending.SIXTEEN, tending.NANO],
                fell=lambda to, why: fallen.append(f"{to.name}: {why}"),
                first_wait=0.001,
            )
        )
        wanted = "8 8 8 16 16 16 16openvino "
        await until(lambda: marks.exists() and marks.read_text().startswith(wanted))
        stop.set()
        await asyncio.wait_for(tending_, HANG)
    assert fallen == ["16 bits: it died 3 times loading", "nano: it died 3 times loading"]


def test_what_a_worker_may_do_instead_follows_from_the_settings(settings: Settings) -> None:
    for bits, engine, names in (
        (8, "auto", ["16 bits", "nano"]),
        (8, "lmdeploy", ["16 bits"]),
        (16, "auto", ["nano"]),
        (16, "lmdeploy", []),
    ):
        given = settings.model_copy(update={"weight_bits": bits, "engine": engine})
        assert [one.name for one in tending.ways(given)] == names


@pytest.mark.parametrize("instead", [(), (tending.NANO,)])
async def test_a_worker_that_had_loaded_its_model_keeps_it(
    tmp_path: Path, instead: tuple[tending.Instead, ...]
) -> None:
    """However often and soon it is killed; and so does one whose engine is set."""
    marks = tmp_path / "marks"
    beat = "os.write(int(os.environ['FOODCRITIC_BEAT']), b'.')" if instead else ""
    command = script(
        tmp_path,
        "import os\n"
        f"{beat}\n"
        f"open({str(marks)!r}, 'a').write(os.environ.get('FOODCRITIC_ENGINE', 'x'))\n"
        "os.abort()",
    )
    stop = asyncio.Event()

    async def died(pid: int) -> None: ...

    tending_ = asyncio.create_task(
        tending.tend(command, stop, died=died, instead=instead, first_wait=0.01)
    )
    await until(lambda: marks.exists() and marks.read_text().startswith("xxxxx"))
    stop.set()
    await asyncio.wait_for(tending_, HANG)


@pytest.mark.parametrize(
    ("beat", "proven", "waits"),
    [(True, 0, [1, 1, 1]), (True, HANG, [2, 4, 8]), (False, 0, [2, 4, 8])],
)
async def test_a_child_that_worked_starts_again_after_the_shortest_wait(
    tmp_path: Path, beat: bool, proven: float, waits: list[float]
) -> None:
    """However soon it is killed: only one that gets nowhere is waited for ever longer."""
    tells = "os.write(int(os.environ['FOODCRITIC_BEAT']), b'.')\n" if beat else ""
    command = script(tmp_path, f"import os\n{tells}os.abort()")
    stop, dead = asyncio.Event(), 0

    async def died(pid: int) -> None:
        nonlocal dead
        dead += 1
        if dead == len(waits):
            stop.set()

    with structlog.testing.capture_logs() as logged:
        await supervise.keep("child", command, stop, died=died, proven=proven, first_wait=0.001)
    said = [line["again_in"] for line in logged if line["event"] == "child.died"]
    assert said == [wait / 1000 for wait in waits]


async def test_a_child_that_never_beats_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's program, or ours while it loads its model."""
    monkeypatch.setattr(supervise, "LOOK", 0.01)
    command = script(tmp_path, "import time; time.sleep(0.5); raise SystemExit(3)")
    stop, dead = asyncio.Event(), list[int]()

    async def died(pid: int) -> None:
        dead.append(pid)
        stop.set()

    with structlog.testing.capture_logs() as logged:
        await supervise.keep("child", command, stop, died=died, frozen=0.02, first_wait=0.01)
    assert [line["code"] for line in logged if line["event"] == "child.died"] == [3]


@pytest.mark.long
async def test_a_worker_that_hangs_while_it_loads_is_killed_and_started_again(
    tmp_path: Path,
) -> None:
    """A call into a driver that never returns and holds the interpreter: nothing inside notices."""
    marks = tmp_path / "marks"
    command = script(
        tmp_path,
        "import asyncio, os, signal\n"
        "from foodcritic import supervise\n"
        f"marks = open({str(marks)!r}, 'a')\n"
        "if not marks.tell():\n"
        "    print('hangs', file=marks, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "print('loaded', file=marks, flush=True)\n"
        "asyncio.run(supervise.orphaned(asyncio.Event()))",
    )
    stop, dead = asyncio.Event(), list[int]()

    async def died(pid: int) -> None:
        dead.append(pid)

    with structlog.testing.capture_logs() as logged:
        tending_ = asyncio.create_task(
            tending.tend(command, stop, died=died, instead=(), stuck=3.0, first_wait=0.01)
        )
        await until(lambda: marks.exists() and "loaded" in marks.read_text())
        await asyncio.sleep(5)  # what has loaded does nothing until it is asked
        stop.set()
        await asyncio.wait_for(tending_, HANG)
    assert [line["pid"] for line in logged if line["event"] == "child.stuck"] == dead
    assert len(dead) == 1


@pytest.mark.long
async def test_a_child_that_loads_for_long_is_left_to_it(tmp_path: Path) -> None:
    command = script(
        tmp_path,
        "import time\n"
        "until = time.monotonic() + 6\n"
        "while time.monotonic() < until: pass\n"
        "raise SystemExit(3)",
    )
    stop, dead = asyncio.Event(), list[int]()

    async def died(pid: int) -> None:
        dead.append(pid)
        stop.set()

    with structlog.testing.capture_logs() as logged:
        await supervise.keep("child", command, stop, died=died, stuck=2.0)
    assert [line["event"] for line in logged] == ["child.started", "child.died"]
    assert logged[1]["code"] == 3


async def test_a_child_is_asked_to_stop_before_it_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = script(
        tmp_path,
        "import pathlib, signal, sys, time\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        "def stop(*_): mark.write_text('stopped'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "mark.write_text('started')\n"
        "time.sleep(600)",
    )
    stop = asyncio.Event()
    keeping = asyncio.create_task(supervise.keep("child", command, stop))
    await until(mark.exists)
    await until(lambda: mark.read_text() == "started")
    stop.set()
    await asyncio.wait_for(keeping, HANG)
    assert mark.read_text() == "stopped"


async def test_a_child_that_does_not_stop_is_killed_before_nobody_watches_it_any_more(
    tmp_path: Path,
) -> None:
    """One that hangs hears no SIGTERM, and would keep its GPU beyond our end."""
    mark = tmp_path / "mark"
    command = script(
        tmp_path,
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(mark)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(600)",
    )
    stop = asyncio.Event()
    keeping = asyncio.create_task(supervise.keep("child", command, stop))
    await until(lambda: mark.exists() and bool(mark.read_text()))
    stop.set()
    await asyncio.sleep(0.1)
    keeping.cancel()  # as what waits no longer for a part does
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(keeping, HANG)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


async def test_a_child_that_stops_being_well_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "LOOK", 0.002)
    command = script(tmp_path, "import time; time.sleep(600)")
    stop, dead, looks = asyncio.Event(), list[int](), 0

    async def healthy() -> bool:
        nonlocal looks
        looks += 1
        return looks == 3  # not yet, then well, then never again

    async def died(pid: int) -> None:
        dead.append(pid)
        stop.set()

    async with asyncio.timeout(HANG):
        await supervise.keep("child", command, stop, died=died, healthy=healthy)
    assert len(dead) == 1


async def test_a_child_hears_of_its_parents_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "LOOK", 0.01)
    stop = asyncio.Event()
    monkeypatch.setenv(supervise.PARENT, str(os.getppid()))
    watching = asyncio.create_task(supervise.orphaned(stop))
    await asyncio.sleep(0.05)
    assert not stop.is_set()
    monkeypatch.setattr(os, "getppid", lambda: 999_999)
    await asyncio.wait_for(watching, HANG)
    assert stop.is_set()


async def test_jobs_of_a_dead_process_wait_again_at_once(db: database.Database) -> None:
    """Those of others keep their lease, even where one process id begins another."""
    for key in ("a", "b"):
        await queue.enqueue(db, new_job(key, user=ord(key)))
    mine = await queue.claim(db, f"{orphans.name(17)}ab")
    other = await queue.claim(db, f"{orphans.name(171)}cd")
    assert mine
    assert other
    assert await orphans.give_back(db, 17) == 1
    assert (await queue.get(db, mine.id)).status is JobStatus.TODO
    assert (await queue.get(db, other.id)).status is JobStatus.DOING


async def test_a_process_that_cannot_end_is_ended() -> None:
    """A thread inside a dead engine would keep Python's own way out waiting for ever."""
    code = (
        "import threading\nfrom foodcritic import supervise\n"
        "threading.Thread(target=threading.Event().wait).start()\nsupervise.end_within(0.1)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    async with asyncio.timeout(HANG):
        assert await process.wait() == 1
