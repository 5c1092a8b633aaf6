"""One user alone before every system: all see the same, in turn; the first round is no measure."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import photos, serve, shows, solo

ROUNDS = 5


class Pipe:
    """A system's end: answers at once, and a tenth slower with every question."""

    def __init__(self, name: str, asked: list[Any]) -> None:
        self.name, self.asked, self.count = name, asked, 0

    def send(self, question: Any) -> None:
        self.asked.append((self.name, *question))
        self.count += 1

    def recv(self) -> dict[str, Any]:
        return {
            "requests": 2,
            "failed": 0,
            "requests_per_second": 100.0 / self.count,
            "tokens_per_second": 1.0,
        }


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the systems were asked by a whole run: (system, load, photos)."""
    shown: list[Any] = []

    @contextlib.contextmanager
    def beside(names: list[str], model: Path) -> Any:
        yield {name: (Pipe(name, shown), 1.0) for name in names}

    monkeypatch.setattr(solo, "beside", beside)
    folder = tmp_path / "photos"
    folder.mkdir()
    for load in photos.SIZES:
        for number in range(2 * solo.SHOWN * (ROUNDS + 1)):
            (folder / f"{load}-{number:05}.jpg").write_bytes(f"{load} {number}".encode())
    given = {"model": tmp_path, "photos": folder, "results": tmp_path / "results"}
    solo.run(argparse.Namespace(**given, rounds=ROUNDS, systems=list(solo.ASKED)))
    return shown


def test_every_system_sees_the_same_photos_once(asked: list[Any]) -> None:
    seen: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for name, load, shown in asked:
        seen[name, load] += shown
    for load in solo.LOADS:
        each = [tuple(seen[name, load]) for name, loads in solo.ASKED.items() if load in loads]
        assert len(set(each)) == 1
        assert len(set(each[0])) == solo.SHOWN * (ROUNDS + 1)
    assert not set(seen["ours", "photo"]) & set(seen["ours", "chat"])


def test_each_is_asked_first_once(asked: list[Any]) -> None:
    systems = len(solo.ASKED)
    first = [name for name, load, _ in asked if load == "tile"][::systems]
    assert set(first[:systems]) == set(solo.ASKED)


def test_the_median_of_the_rounds_after_the_first_is_written(
    asked: list[Any], tmp_path: Path
) -> None:
    loads = len(solo.LOADS)
    cell = json.loads((tmp_path / "results" / "ours-tile-1.json").read_text())
    counted = [100.0 / (1 + loads * number) for number in range(1, ROUNDS + 1)]
    assert cell["rounds"] == pytest.approx(counted)
    assert cell["requests_per_second"] == pytest.approx(counted[ROUNDS // 2])
    assert (cell["system"], cell["load"], cell["users"]) == ("ours", "tile", 1)


def test_what_one_user_meets_is_asked_of_ours_and_of_stock_systems() -> None:
    assert set(shows.ALONE) == set(solo.ASKED["ours"])
    for load in shows.ALONE:
        assert {name for name, loads in solo.ASKED.items() if load in loads} & set(shows.STOCK)
    assert not [cell for name in solo.ASKED for cell in serve.CELLS[name] if cell[1] == 1]
