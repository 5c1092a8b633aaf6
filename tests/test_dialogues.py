"""Nano's training dialogues: well formed, reproducible, and true to the hint they carry."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foodcritic import critique, prompts
from foodcritic.dishes import DISHES, Lang
from foodcritic.prompts import Hint
from training.nano import answers, choices, dialogues, packs, pictures, records
from training.nano.answers import Subject
from training.nano.strangers import stranger

LANGS: tuple[Lang, Lang] = ("zh", "en")
KEYS = ("ramen", "waffles", "peking_duck", "french_fries", "creme_brulee")


def make_pack(folder: Path, *, photos: int = 30, label: str | None = None) -> Path:
    folder.mkdir()
    noise = np.random.default_rng(0)
    with (
        (folder / "blobs.bin").open("wb") as blobs,
        (folder / "index.csv").open("w", encoding="utf-8", newline="") as index,
    ):
        rows = csv.writer(index)
        rows.writerow(packs.FIELDS)
        for i in range(photos):
            photo = Image.fromarray(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8))
            data = io.BytesIO()
            photo.save(data, "WEBP")
            key = label or KEYS[i % len(KEYS)]
            split = "val" if i % 10 == 9 else "train"
            rows.writerow([blobs.tell(), len(data.getvalue()), split, key, "x", 1000 + i])
            blobs.write(data.getvalue())
    return folder


def written(pack: Path, out: Path, seed: int = 0) -> tuple[list[dict[str, Any]], ...]:
    dialogues.main(["--packs", str(pack), "--out", str(out), "--views", "2", "--seed", str(seed)])
    return tuple(
        json.loads((out / f"{split}.json").read_text(encoding="utf-8")) for split in packs.SPLITS
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any], list[Any]]:
    home = tmp_path_factory.mktemp("dialogues")
    train, val = written(make_pack(home / "pack"), home / "out")
    return home, train, val


def test_a_record_is_what_xtuner_reads(data: tuple[Path, list[Any], list[Any]]) -> None:
    home, train, val = data
    for record in train + val:
        turns = record["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert all(turn["value"] == turn["value"].strip() != "" for turn in turns)
        pictured = sum(turn["value"].count("<image>") for turn in turns)
        assert pictured == ("image" in record)
        if "image" in record:
            assert turns[0]["value"].startswith("<image>\n")
            with Image.open(home / "out" / "images" / record["image"]) as image:
                image.load()
                assert 64 <= image.width <= 112
    assert len({record["id"] for record in train}) == len(train)


def test_half_of_the_records_ask_for_the_name(data: tuple[Path, list[Any], list[Any]]) -> None:
    _, train, _ = data
    asked = [record["conversations"][0]["value"].removeprefix("<image>\n") for record in train]
    naming = sum(text in {prompts.naming(lang) for lang in LANGS} for text in asked)
    assert 0.4 < naming / len(train) < 0.6


def test_validation_uses_its_own_photos_only(data: tuple[Path, list[Any], list[Any]]) -> None:
    _, train, val = data
    trained = {record["image"].rsplit("_", 1)[0] for record in train if "image" in record}
    held_out = {record["image"].rsplit("_", 1)[0] for record in val}
    assert held_out
    assert not trained & held_out


def test_the_same_seed_writes_the_same_bytes(
    data: tuple[Path, list[Any], list[Any]], tmp_path: Path
) -> None:
    home, train, _ = data
    written(home / "pack", tmp_path / "again")
    for file in ("train.json", "val.json"):
        assert (tmp_path / "again" / file).read_bytes() == (home / "out" / file).read_bytes()
    other, _ = written(home / "pack", tmp_path / "other", seed=1)
    assert other != train


def test_an_unknown_dish_in_a_pack_is_refused(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack", photos=2, label="cardboard")
    with pytest.raises(packs.PackError, match="cardboard"):
        dialogues.photos([pack])


def hinted(seed: int) -> tuple[Subject, Lang, random.Random]:
    rng = random.Random(seed)
    photo = records.Photo(id="1", dish=DISHES["ramen"], split="train", data=b"")
    return records._subject(photo, None, rng), rng.choice(LANGS), rng


@pytest.mark.parametrize("seed", range(200))
def test_a_critique_obeys_its_hint(seed: int) -> None:
    subject, lang, rng = hinted(seed)
    assert subject.hint is not None
    tone = rng.choice(prompts.TONES)
    text = answers.review(subject, lang, tone, rng)
    read = critique.parse(text)
    assert read.candidates == subject.candidates
    assert read.unsure == subject.hint.unsure == bool(subject.others)
    if subject.hint.no_dish:
        assert read.dish_en is None
        return
    assert read.score is not None
    for candidate in subject.candidates:
        assert candidate.name(lang) in read.body or not (read.unsure or subject.hint.evidence)
    # Nothing of the templates may be left, nor a sentence run into the next.
    assert "{" not in text
    assert "。。" not in text
    assert ".." not in text


def test_half_of_the_hints_contradict_the_photo() -> None:
    subjects = [hinted(seed)[0] for seed in range(2000)]
    named = [s for s in subjects if s.dish is not None]
    share = sum(s.dish is not DISHES["ramen"] for s in named) / len(named)
    assert 0.45 < share < 0.55
    kinds = Counter(
        "evidence" if s.hint and s.hint.evidence else "unsure" if s.others else "sure"
        for s in named
    )
    assert min(kinds.values()) > 100


@pytest.mark.parametrize("seed", range(100))
def test_allergens_are_never_ruled_out(seed: int) -> None:
    rng = random.Random(seed)
    dish = rng.choice(list(DISHES.values()))
    for lang in LANGS:
        _, answer = answers.reply(Subject(dish=dish), "allergens", lang, rng)
        assert ("may contain" if lang == "en" else "可能含有") in answer
        assert all(allergen in answer for allergen in dish.items("allergens", lang))


@pytest.mark.parametrize("seed", range(200))
def test_a_choice_has_one_right_option_and_its_letter_comes_first(seed: int) -> None:
    rng = random.Random(seed)
    dish, lang = rng.choice(list(DISHES.values())), rng.choice(LANGS)
    _, options, answer = choices.multiple_choice(Subject(dish=dish), lang, rng)
    assert len(set(options)) == 4
    assert answer[0] == "("
    assert answer[1] in "ABCD"
    right = options["ABCD".index(answer[1])]
    fields = ["name", "cuisine", "taste", "region", "looks", "served"]
    own = dish.items("ingredients", lang)
    if right in {dish.text(field, lang) for field in fields}:
        assert sum(o in {dish.text(f, lang) for f in fields} for o in options) == 1
    else:
        # Either the only ingredient of the dish, or the only one that is none.
        inside = [option in own for option in options]
        assert inside.count(right in own) == 1


def test_letters_are_evenly_right() -> None:
    rng = random.Random(0)
    letters = Counter(
        choices.multiple_choice(Subject(dish=DISHES["ramen"]), "en", rng)[2][1] for _ in range(800)
    )
    assert min(letters.values()) > 150


def test_captions_are_three_short_lines() -> None:
    rng = random.Random(0)
    for dish in DISHES.values():
        for style in prompts.MEME_STYLES:
            for lang in LANGS:
                lines = answers.captions(Subject(dish=dish), style, lang, rng).split("\n")
                assert len(set(lines)) == 3
                assert all(len(line) <= (30 if lang == "zh" else 90) for line in lines)


def test_a_teacher_bends_half_of_the_names() -> None:
    photo = records.Photo(
        id="1", dish=DISHES["ramen"], split="train", data=b"", guesses=(("pho", 1.0),)
    )
    rng = random.Random(0)
    seen = Counter(records._seen(photo, rng, 0.5).key for _ in range(1000))
    assert set(seen) == {"ramen", "pho"}
    assert 400 < seen["pho"] < 600


def test_a_teachers_guesses_are_read_by_photo(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack", photos=2)
    order = sorted(DISHES)
    table = tmp_path / "teacher.npz"
    np.savez(
        table,
        ids=np.array([1001]),
        classes=np.array([[order.index("pho"), order.index("ramen")]]),
        probs=np.array([[0.75, 0.25]]),
    )
    first, second = dialogues.photos([pack], table)
    assert first.guesses == ()
    assert second.guesses == (("pho", 0.75), ("ramen", 0.25))


@pytest.mark.parametrize(
    ("colour", "light"),
    [((10, 10, 10), "dark"), ((230, 230, 230), "bright"), ((120, 120, 120), "dull")],
)
def test_the_light_of_a_plain_picture_is_plain_to_see(
    colour: tuple[int, int, int], light: str
) -> None:
    assert pictures.light(Image.new("RGB", (64, 64), colour)) == light


def test_a_colourful_picture_is_vivid() -> None:
    halves = Image.new("RGB", (64, 64), (220, 20, 20))
    halves.paste((20, 180, 40), (0, 0, 32, 64))
    assert pictures.light(halves) == "vivid"


def test_a_darker_photo_scores_lower() -> None:
    rng = random.Random(0)
    scores = {
        light: critique.parse(
            answers.review(Subject(dish=DISHES["ramen"], light=light), "en", "frank", rng)
        ).score
        for light in ("dark", None, "vivid")
    }
    assert scores == {"dark": 7, None: 8, "vivid": 9}


def test_pictures_without_food_are_many_and_small() -> None:
    rng = random.Random(0)
    drawn = [pictures.no_food(rng) for _ in range(60)]
    assert all(64 <= p.width == p.height <= 112 and p.mode == "RGB" for p in drawn)
    assert len({p.tobytes() for p in drawn}) == 60


def test_pictures_without_food_are_never_named() -> None:
    rng = random.Random(0)
    for _ in range(50):
        for record in records.of_no_food("x.jpg", rng):
            question, answer = (turn["value"] for turn in record["conversations"])
            naming = [lang for lang in LANGS if question.endswith(prompts.naming(lang))]
            if naming:
                assert answer == prompts.NO_DISH_NAME[naming[0]]
            assert critique.parse(answer).dish_en is None


def test_strangers_are_not_in_our_table_and_survive_a_prompt() -> None:
    rng = random.Random(0)
    for _ in range(500):
        name = stranger(rng)
        assert name in Hint(evidence=name).line("zh")
