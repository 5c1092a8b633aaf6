"""The session on a GPU machine: what it would run is in order, and it goes on where it was cut."""

import argparse
import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import learning, serve, session, shows
from benchmarks.gpu import parts as parting
from benchmarks.gpu.parts import Book, Part
from engine.plan import Plan

FILL = "from pathlib import Path; import sys; Path(sys.argv[1]).write_text('{}')"


def given(results: Path, **more: Any) -> argparse.Namespace:
    usual: dict[str, Any] = {"seconds": 100.0, "only": None, "dry_run": False, "shape": "2b"}
    places = {"model": results / "m", "photos": results / "p", "results": results, "work": ""}
    return argparse.Namespace(**(usual | places | more))


BOOKS = (session.BOOK, learning.BOOK)


@pytest.mark.parametrize(
    ("book", "part"),
    [(book, part) for book in BOOKS for part in book.parts],
    ids=lambda one: one.name,
)
def test_every_part_can_be_run(book: Book, part: Part, tmp_path: Path) -> None:
    _, _, module, *words = parting.command(part, book.places(given(tmp_path)))
    assert importlib.util.find_spec(module) is not None
    assert part.files
    assert not [word for word in words if "{" in word and not word.startswith('{"')]
    if "--plan" in words:
        asked = json.loads(words[words.index("--plan") + 1])
        Plan(trusted=True, **{"cache_max_entry_count": 0.5, **asked})
    if "--system" in words:
        assert words[words.index("--system") + 1] in serve.CELLS


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_no_two_parts_write_the_same_file(book: Book) -> None:
    files = [file for part in book.parts for file in part.files]
    assert len(files) == len(set(files))


def test_trainings_own_python_runs_what_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOODCRITIC_TRAIN_PYTHON", "/opt/xtuner/python")
    where = learning.places(given(tmp_path))
    runs = {part.name: parting.command(part, where)[0] for part in learning.PARTS}
    assert {runs[name] for name in ("16gb", "recipes", "stock")} == {"/opt/xtuner/python"}
    assert {runs[name] for name in ("nano", "2b")} == {sys.executable}


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Make the session consist of parts that write a file, fail, or sleep."""
    monkeypatch.setenv("GPUS", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fills.py").write_text(FILL)
    (tmp_path / "fails.py").write_text("raise SystemExit(3)")
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(60)")

    def set_(*made: Part) -> None:
        monkeypatch.setattr(session, "BOOK", dataclasses.replace(session.BOOK, parts=made))

    return set_


def book(results: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results / "session.json").read_text())
    return found


def test_what_is_there_is_not_run_again_and_what_failed_twice_neither(
    parts: Any, tmp_path: Path
) -> None:
    parts(
        Part(name="a", seconds=5, command="fills {results}/a.json", files=["a.json"]),
        Part(name="b", seconds=5, command="fails", files=["b.json"]),
        Part(name="c", seconds=5, command="fills {results}/c.json", files=["c.json"], gpus=2),
        Part(name="d", seconds=500, command="fills {results}/d.json", files=["d.json"]),
    )
    results = tmp_path / "results"
    for _ in range(3):
        parting.run(given(results), session.BOOK)
    ended = {name: (one["ended"], one["tries"]) for name, one in book(results).items()}
    assert ended == {"a": (0, 1), "b": (3, 2)}
    assert book(results)["b"]["missing"] == ["b.json"]
    parting.run(given(results, only=["b"]), session.BOOK)
    assert book(results)["b"]["tries"] == 3, "what is named is run"


def test_a_part_that_hangs_is_cut_off_and_the_next_one_runs(parts: Any, tmp_path: Path) -> None:
    parts(
        Part(name="a", seconds=1, command="sleeps", files=["a.json"]),
        Part(name="b", seconds=1, command="fills {results}/b.json", files=["b.json"]),
    )
    parting.run(given(tmp_path / "results"), session.BOOK)
    ended = {name: one["ended"] for name, one in book(tmp_path / "results").items()}
    assert ended == {"a": "cut off", "b": 0}


def test_what_is_cut_off_may_keep_what_it_has(
    parts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is run again: what is unfinished does not count."""
    monkeypatch.setenv("PYTHONPATH", str(Path(parting.__file__).parents[2]))
    (tmp_path / "keeps.py").write_text(
        "import asyncio, pathlib, sys\n"
        "from benchmarks.gpu.noted import Found, until_told\n"
        "async def long():\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        found.note(ended=True)\n"
        "found = Found(pathlib.Path(sys.argv[1]))\n"
        "found.note(begun=True)\n"
        "asyncio.run(until_told(long()))\n"
    )
    parts(Part(name="a", seconds=1, command="keeps {results}/a.json", files=["a.json"]))
    results = tmp_path / "results"
    parting.run(given(results), session.BOOK)
    assert (book(results)["a"]["ended"], book(results)["a"]["missing"]) == ("cut off", ["a.json"])
    kept = json.loads((results / "a-unfinished.json").read_text())
    assert kept == {"begun": True, "ended": True}


def test_the_summary_says_what_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = {"photo-128": 18.2, "photo-32": 14.0, "tile-128": 90.0, "chat-1": 2.9}
    for name, rate in rates.items():
        cell = {"requests_per_second": rate, "first_p50": 0.5, "first_p50_turn2": 0.05, "failed": 0}
        (tmp_path / f"ours-{name}.json").write_text(json.dumps(cell))
    (tmp_path / "server-chat-1.json").write_text('{"requests_per_second": 3.2}')
    (tmp_path / "kills.json").write_text('{"claims": {"every job answered": true}}')
    shows.summary(tmp_path)
    said = capsys.readouterr().err.splitlines()
    begins = {line[7:].split("  ")[0].strip(): line[:5] for line in said}
    assert begins["photo, 128 users, requests/s"] == "holds"
    assert begins["tile, 128 users, requests/s"] == "FAILS"
    assert begins["chat, one user, of the best stock"] == "FAILS"
    assert begins["tile, one user, of the best stock"] == "open "
    assert begins["a follow-up's first word, of the first"] == "holds"
    assert begins["kills: every job answered"] == "holds"
