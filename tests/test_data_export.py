"""Exports: complete, clean, the same bytes for the same input, and readable by XTuner."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner, Result

from engine import datasets
from engine.datasets import DatasetError
from foodcritic import cli, prompts
from foodcritic.dialogue import Turn
from foodcritic.errors import PhotoError
from foodcritic.settings import Settings
from tests import datakit
from tests.conftest import CHARACTERS
from tests.datakit import kept, photo, said, source, write
from training import dataset, foreign, forget, imports, naming, unfinished
from training.examples import Example

TEXT = st.text(CHARACTERS, min_size=1, max_size=20).filter(lambda text: prompts.clean(text) != "")


def export(home: Path, *made: Any) -> dataset.Snapshot:
    return dataset.write(home, dataset.arrange(home, [source(*made)]))


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5) | st.none(), st.lists(st.tuples(TEXT, TEXT), min_size=1)),
        min_size=1,
        max_size=6,
    )
)
def test_an_export_round_trips_and_is_byte_identical(
    talks: list[tuple[int | None, list[tuple[str, str]]]],
) -> None:
    """What was imported is exported; what was exported imports as the same; twice is the same."""
    with tempfile.TemporaryDirectory() as folder:
        one, two, again = (Path(folder, name) for name in ("one", "two", "again"))
        snapshots = []
        for home in (one, two):
            made = [
                said(
                    number,
                    None if seed is None else kept(home, photo(seed)),
                    turns=tuple(Turn(question=q, answer=a) for q, a in talk),
                )
                for number, (seed, talk) in enumerate(talks)
            ]
            snapshots.append(export(home, *made))
        assert snapshots[0].id == snapshots[1].id
        assert contents(snapshots[0].folder) == contents(snapshots[1].folder)
        dataset.export(snapshots[0], again)
        assert dataset.digest(again) == snapshots[0].id
        found: list[Example] = []
        for side in ("train", "val"):
            if (again / f"{side}.json").read_text() == "[]\n":
                continue
            given_ = foreign.llava(again / f"{side}.json", name=side, licence="")
            found += imports.keep(one, given_, done=lambda count: None).examples
        draft = dataset.arrange(one, [source(*made)])
        ordered = sorted(draft.merged.examples, key=lambda e: draft.sides[e.id] == "val")
        assert [e.turns for e in found] == [e.turns for e in ordered]
        assert [e.photo is None for e in found] == [e.photo is None for e in ordered]


def test_every_record_is_what_xtuner_reads(tmp_path: Path) -> None:
    """One photo that decodes, its size, its mark first; text alone without any of them."""
    home = tmp_path / "home"
    shown = [said(i, kept(home, photo(i)), "Dish?") for i in range(8)]
    made = export(home, *shown, said("text", None, "Hot?"))
    records = [*made.records("train"), *made.records("val")]
    assert len(records) == 9
    for row in records:
        first = row["conversations"][0]["value"]
        assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
        if "image" not in row:
            assert (first, "image_wh" in row) == ("Hot?", False)
            continue
        assert first == "<image>\nDish?"
        with Image.open(made.folder / row["image"]) as opened:
            opened.load()
            assert [opened.mode, *opened.size] == ["RGB", *row["image_wh"]]


def test_nothing_in_an_export_tells_when_or_where(tmp_path: Path) -> None:
    """No path, no clock, and conversations only in the two files that hold them."""
    home = tmp_path / "home"
    made = export(home, *(said(i, kept(home, photo(i))) for i in range(6)))
    found = contents(made.folder)
    assert set(found) >= set(dataset.FILES)
    for name, data in found.items():
        if name.endswith(".jpg"):
            continue
        assert not re.search(rb"\b20\d\d\b|\d\d:\d\d", data)
        assert str(tmp_path).encode() not in data
        if name not in ("train.json", "val.json"):
            assert b'"conversations": [' not in data


def test_a_snapshot_is_found_again_and_any_change_is_noticed(tmp_path: Path) -> None:
    """Each byte is checked before a snapshot is used."""
    made = export(tmp_path, said(1, kept(tmp_path, photo(1))))
    assert dataset.find(tmp_path, made.id[:8]) == made
    with pytest.raises(DatasetError, match="there is no dataset"):
        dataset.find(tmp_path, "../../etc")
    image = next((made.folder / "images").iterdir())
    image.chmod(0o600)
    image.write_bytes(image.read_bytes() + b"x")
    with pytest.raises(DatasetError, match="was changed"):
        dataset.find(tmp_path, made.id)


def test_a_snapshot_that_lost_a_file_is_not_taken_for_what_is_exported(tmp_path: Path) -> None:
    made = export(tmp_path, said(1, kept(tmp_path, photo(1))))
    (made.folder / "val.json").unlink()
    with pytest.raises(DatasetError, match="was changed"):
        export(tmp_path, said(1, kept(tmp_path, photo(1))))


def test_what_a_killed_export_left_goes_and_none_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People's photos and words are in it, and no command knows it."""
    left, filled, living = tmp_path / "datasets" / ".part-dead", dataset._fill, list[bool]()

    def fill(folder: Path, made: dataset.Draft) -> None:
        filled(folder, made)
        unfinished.sweep(folder.parent)
        living.append(folder.exists())

    monkeypatch.setattr(dataset, "_fill", fill)
    (left / "images").mkdir(parents=True)
    (left / "train.json").write_text("[")
    export(tmp_path, said(1, kept(tmp_path, photo(1))))
    assert living == [True]
    assert not left.exists()
    left.mkdir()
    forget.forget(tmp_path, photos=["0" * 64])
    assert not left.exists()


def test_an_export_replaces_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    """A folder with other files in it is left alone."""
    home, out = tmp_path / "home", tmp_path / "out"
    dataset.export(export(home, *(said(i, kept(home, photo(i))) for i in range(3))), out)
    dataset.export(newer := export(home, said(9, kept(home, photo(9)))), out)
    assert dataset.digest(out) == newer.id
    (out / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty"):
        dataset.export(newer, out)
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(DatasetError, match="where datasets are kept"):
        dataset.export(newer, newer.folder)
    assert dataset.find(home, newer.id) == newer


def test_the_card_names_sources_licences_dishes_and_contradictions(tmp_path: Path) -> None:
    """As text for people and as JSON for programs."""
    shown = kept(tmp_path, photo(1))
    made = export(
        tmp_path,
        said(1, shown, answer="Ramen | soup", dish="ramen"),
        said(2, shown, answer="Pho", dish="pho"),
        said(3, None, "有辣椒吗？", lang="zh"),
    )
    card = made.card()
    assert card["counts"]["records"] == 2
    assert card["counts"]["contradictions"] == 2
    assert card["dishes"] == {"pho": 1}
    assert card["languages"] == {"en": 1, "zh": 1}
    assert card["sources"]["test"]["licence"] == "none"
    text = (made.folder / "card.md").read_text()
    for part in ("| test |", "drawn by code", "| pho | 1 |", "test-1: Ramen \\| soup"):
        assert part in text


def test_what_looks_like_the_frozen_naming_set_is_held_out(tmp_path: Path) -> None:
    """However it got in, the gate's photos are not trained on."""
    ids = [kept(tmp_path, photo(seed, "compressed")) for seed in range(12)]
    made = [said(i, name) for i, name in enumerate(ids)]
    assert dataset.arrange(tmp_path, [source(*made)]).trained
    rows = _labelled(tmp_path / "pack", range(12))
    naming.freeze(tmp_path, rows, replace=False, done=lambda count: None)
    assert not dataset.arrange(tmp_path, [source(*made)]).trained


def test_a_frozen_set_stays_what_it_is(tmp_path: Path) -> None:
    """It is a copy; another needs a word; a broken photo is refused and nothing is kept."""
    rows = _labelled(tmp_path / "pack", range(3))
    frozen = naming.freeze(tmp_path, rows, replace=False, done=lambda count: None)
    assert (frozen.photos, frozen.dishes) == (3, 3)
    assert [row.read() for row in naming.read(tmp_path)] == [photo(seed) for seed in range(3)]
    (tmp_path / "pack" / "0.jpg").unlink()
    assert [row.label_en for row in naming.read(tmp_path)] == ["dish 0", "dish 1", "dish 2"]
    again = _labelled(tmp_path / "again", range(3))
    assert naming.freeze(tmp_path, again, replace=False, done=lambda count: None) == frozen
    other = _labelled(tmp_path / "other", range(4))
    with pytest.raises(DatasetError, match="--replace"):
        naming.freeze(tmp_path, other, replace=False, done=lambda count: None)
    (tmp_path / "other" / "1.jpg").write_bytes(b"no photo")
    with pytest.raises(PhotoError, match=r"photo 2, 1\.jpg"):
        naming.freeze(tmp_path, other, replace=True, done=lambda count: None)
    assert len(naming.read(tmp_path)) == 3
    naming.freeze(tmp_path, other[2:], replace=True, done=lambda count: None)
    assert len(naming.read(tmp_path)) == 2


def test_a_kill_while_a_frozen_set_is_replaced_leaves_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Any, *_: Any, **__: Any) -> None:
        next(Path(folder).rglob("index.csv")).unlink()
        raise KeyboardInterrupt

    naming.freeze(tmp_path, _labelled(tmp_path / "a", range(3)), replace=False, done=print)
    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        naming.freeze(tmp_path, _labelled(tmp_path / "b", range(2)), replace=True, done=print)
    assert len(naming.read(tmp_path)) == len(naming.looks(tmp_path)) == 2


def _labelled(folder: Path, seeds: range) -> list[datasets.Labelled]:
    folder.mkdir()
    lines = ["file,label_en,label_zh"]
    for seed in seeds:
        (folder / f"{seed}.jpg").write_bytes(photo(seed))
        lines.append(f"{seed}.jpg,dish {seed},菜{seed}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return datasets.labelled(folder / "manifest.csv")


@pytest.fixture
def shell(
    backend: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[CliRunner, Path]:
    """The command line on a migrated database."""
    monkeypatch.setenv("FOODCRITIC_HOME", str(backend.home))
    monkeypatch.setenv("FOODCRITIC_DATABASE_URL", backend.database)
    monkeypatch.chdir(tmp_path)
    return CliRunner(), tmp_path


async def run(shell: tuple[CliRunner, Path], *arguments: object) -> Result:
    # A thread of its own: the commands run an event loop.
    return await asyncio.to_thread(shell[0].invoke, cli.app, ["data", *map(str, arguments)])


async def test_from_a_download_to_an_export_in_the_shell(shell: tuple[CliRunner, Path]) -> None:
    """Import two datasets, look at them, export them, freeze a naming set."""
    folder = shell[1]
    foodieqa = datakit.foodieqa(folder / "foodieqa", count=6)
    records = [
        {
            "id": 1,
            "image": "a.jpg",
            "dish": "$麻婆豆腐$ 🌶",
            "conversations": [
                {"from": "human", "value": "<image>\nHot?"},
                {"from": "gpt", "value": "[bold]Yes"},
            ],
        }
    ]
    (folder / "a.jpg").write_bytes(photo(40))
    file = write(folder / "My set.json", records)
    assert (await run(shell, "import", "foodieqa", foodieqa)).exit_code == 0
    assert (await run(shell, "import", "llava", file, "--licence", "CC0")).exit_code == 0
    listed = await run(shell, "imports", "--json")
    assert json.loads(listed.stdout)["my-set"] == {"conversations": 1, "licence": "CC0"}
    shown = await run(shell, "stats", "--out", "pictures")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"14 conversations \(\d+ train, \d+ val\)", shown.output)
    with Image.open(folder / "pictures" / "stats.png") as drawn:
        assert drawn.size == (1500, 900)
    counted = json.loads((await run(shell, "stats", "--json")).stdout)
    one = json.loads((await run(shell, "export", "--out", "one", "--json")).stdout)
    two = json.loads((await run(shell, "export", "--out", "two", "--json")).stdout)
    assert one["dataset"] == two["dataset"]
    assert one["records"] == counted["counts"]["records"] == 14
    assert contents(folder / "one") == contents(folder / "two")
    assert (await run(shell, "drop", "my-set")).exit_code == 0
    _labelled(folder / "pack", range(2))
    frozen = await run(shell, "freeze", "naming", folder / "pack" / "manifest.csv", "--json")
    assert json.loads(frozen.stdout)["photos"] == 2


async def test_what_is_all_held_out_is_not_trained_on(
    shell: tuple[CliRunner, Path],
) -> None:
    """A dry run says so, and a run ends before the model is asked for anything."""
    folder = shell[1]
    assert "nothing was imported yet" in (await run(shell, "imports")).output
    talk = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Stew"}]
    (folder / "a.jpg").write_bytes(photo(0))
    file = write(folder / "mine.json", [{"id": 1, "image": "a.jpg", "conversations": talk}])
    await run(shell, "import", "llava", file)
    assert (await run(shell, "imports")).output == "mine: 1 conversations; licence not stated\n"
    assert "dishes: none named" in (await run(shell, "stats")).output
    _labelled(folder / "pack", range(1))
    await run(shell, "freeze", "naming", folder / "pack" / "manifest.csv")
    for words in (["--dry-run"], []):
        ended = await asyncio.to_thread(CliRunner().invoke, cli.app, ["train", *words])
        assert ended.exit_code == 1
        assert "nothing to learn from: what there is (1 conversations) is all held out" in (
            " ".join(ended.output.split())
        )


async def test_the_shell_refuses_with_a_sentence(shell: tuple[CliRunner, Path]) -> None:
    """No traceback, and what to do."""
    nothing = await run(shell, "export", "--out", "out")
    assert nothing.exit_code == 1
    assert "foodcritic data import" in nothing.output
    assert not (shell[1] / "out").exists()
    gated = await run(shell, "import", "foodieqa", shell[1])
    assert gated.exit_code == 1
    assert "accept its terms" in gated.output
