"""Readers of three foreign formats: FoodieQA, CLoT-Oogiri-GO, and LLaVA JSON.

| reader   | reads                                                    | asks as                 |
|----------|----------------------------------------------------------|-------------------------|
| foodieqa | sivqa_tidy.json with photos, textqa_tidy.json without    | a choice, (A) to (D)    |
| oogiri   | cn.jsonl: type, question, image, text, star; only "I2T"  | the tutorial, and /meme |
| llava    | [{"image", "conversations": [{"from", "value"}, …]}, …]  | as the file does        |

FoodieQA: Li et al., EMNLP 2024. Oogiri-GO: Zhong et al., CVPR 2024.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from engine import datasets
from engine.datasets import Asked, DatasetError, Task
from foodcritic import prompts
from foodcritic.dialogue import Turn
from foodcritic.dishes import Lang
from training import examples
from training.imports import Import, Row, inside, text

FOODIEQA_REMEDY: Final = (
    "FoodieQA is gated: on huggingface.co/datasets/lyan62/FoodieQA log in, accept its terms, "
    "download it and unpack it, so that ROOT holds sivqa_tidy.json, textqa_tidy.json and images/"
)
OOGIRI_REMEDY: Final = (
    "Download cn.jsonl and images.zip from huggingface.co/datasets/zhongshsh/CLoT-Oogiri-GO and "
    "unpack the archive, so that ROOT holds cn.jsonl and images/"
)
#: The question of the tutorial that introduced this dataset to InternVL2.
OOGIRI_QUESTION: Final = "请你根据这张图片，讲一个脑洞大开的梗"
#: /meme asks for so many captions.
CAPTIONS: Final = 3
#: What a line raises that is no row; Infinity is a number in JSON as Python reads it.
_BROKEN: Final = (
    *(ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, RecursionError),
)
_NAMED: Final[dict[Lang, str]] = {"zh": "，图中的菜是", "en": ". The dish is "}


def foodieqa(root: Path) -> Import:
    """FoodieQA's questions about one photo and about none; either file may be absent.

    Raises:
        DatasetError: neither file is there, or one is broken or not the data.
    """
    tasks: tuple[Task, ...] = ("sivqa", "textqa")
    there = [task for task in tasks if (root / f"{task}_tidy.json").exists()]
    if not there:
        raise DatasetError(
            f"{root} holds neither sivqa_tidy.json nor textqa_tidy.json. {FOODIEQA_REMEDY}"
        )
    for task in there:
        text(root / f"{task}_tidy.json", FOODIEQA_REMEDY)
    given = {task: datasets.questions(root, task) for task in there}
    return Import(
        name="foodieqa",
        licence="CC BY-NC-ND 4.0: for research, not to be passed on changed",
        consent="photos its contributors gave for this dataset",
        rows=_foodieqa(root, given),
    )


def oogiri(root: Path, limit: int | None = None) -> Import:
    """The Chinese captions of pictures, the most liked first; `limit`: only so many of them.

    Raises:
        DatasetError: cn.jsonl or the pictures are missing, or it is not the data.
    """
    table = root / "cn.jsonl"
    if not table.exists():
        raise DatasetError(f"{root} holds no cn.jsonl. {OOGIRI_REMEDY}")
    # Not splitlines: captions hold separators of Unicode's, which end no line of JSON's.
    lines = text(table, OOGIRI_REMEDY).split("\n")
    found = _pictures(root)
    if not found:
        raise DatasetError(f"{root} holds no pictures. {OOGIRI_REMEDY}")
    return Import(
        name="oogiri",
        licence="MIT, as the dataset's page says; the pictures are their makers'",
        consent="public posts; nobody was asked",
        rows=_oogiri(lines, found, limit),
    )


def llava(file: Path, images: Path | None = None, *, name: str, licence: str) -> Import:
    """Records of a LLaVA JSON file; image paths are relative to `images` (default: its folder).

    Raises:
        DatasetError: the file is no JSON list.
    """
    try:
        records = json.loads(text(file, "Expected a JSON list of LLaVA records."))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file} is no JSON: {error}") from error
    if not isinstance(records, list):
        raise DatasetError(f"{file} is no list of LLaVA records")
    return Import(
        name=name,
        licence=licence,
        consent="as its maker says; not known here",
        rows=(_llava(number, given, images or file.parent) for number, given in enumerate(records)),
    )


def _foodieqa(root: Path, given: Mapping[Task, list[Any]]) -> Iterator[Row]:
    langs: tuple[Lang, ...] = ("zh", "en")
    for task, questions in given.items():
        for number, question in enumerate(questions):
            for lang in langs:
                origin = f"{task}-{number}-{lang}"
                try:
                    asked = datasets.asked(root, task, question, lang)
                    if lang == "en" and asked.question == question["question"]:
                        continue  # it has no translation
                    yield _choice(root, origin, lang, asked)
                except ValueError as error:
                    yield Row(origin=origin, broken=str(error))


def _choice(root: Path, origin: str, lang: Lang, asked: Asked) -> Row:
    right = "ABCD".index(asked.letter)
    if right >= len(asked.options):
        raise ValueError(f"the answer is ({asked.letter}) of {len(asked.options)} choices")
    photo = None
    if asked.photos:
        try:
            photo = inside(root, str(asked.photos[0].relative_to(root.resolve())))
        except ValueError as error:
            raise ValueError(f"{error}. {FOODIEQA_REMEDY}") from error
    answer = f"({asked.letter}) {asked.options[right]}"
    if asked.dish and photo is not None:
        answer += f"{_NAMED[lang]}{asked.dish}"
    turn = Turn(question=prompts.choice(lang, asked.question, asked.options), answer=answer)
    values = {"kind": "choice", "lang": lang, "turns": (turn,), "dish": asked.dish}
    return Row(origin=origin, values=values, photo=photo)


def _oogiri(lines: list[str], found: Mapping[str, Path], limit: int | None) -> Iterator[Row]:
    stars: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
            if given["type"] != "I2T":
                continue
            key = str(given["image"]), " ".join(prompts.clean(given["text"]).split())
            stars[key] = max(stars.get(key, 0), int(given.get("star") or 0))
        except _BROKEN as error:
            yield Row(origin=f"line-{number}", broken=f"no such row: {error!r}")
    liked = sorted(stars, key=lambda key: (-stars[key], key))[:limit]
    by_picture: dict[str, list[str]] = defaultdict(list)
    for picture, caption in liked:
        captions = by_picture[picture]
        captions.append(caption)
        yield _caption(picture, str(len(captions)), OOGIRI_QUESTION, caption, found)
        if len(captions) == CAPTIONS and all(captions):
            yield _caption(picture, "meme", prompts.meme("zh"), "\n".join(captions), found)


def _caption(
    picture: str, which: str, question: str, caption: str, found: Mapping[str, Path]
) -> Row:
    origin, path = f"{picture}-{which}", found.get(picture)
    if path is None:
        return Row(origin=origin, broken=f"there is no picture {picture}. {OOGIRI_REMEDY}")
    turn = Turn(question=question, answer=caption)
    return Row(origin=origin, values={"kind": "meme", "lang": "zh", "turns": (turn,)}, photo=path)


def _pictures(root: Path) -> dict[str, Path]:
    """The picture files below the root, by name with and without its ending."""
    found: dict[str, Path] = {}
    home = root.resolve()
    endings = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp")
    for path in sorted((root / "images").rglob("*")):
        if path.suffix.lower() not in endings or not path.is_file():
            continue
        if path.resolve().is_relative_to(home):
            found.setdefault(path.name, path)
            found.setdefault(path.stem, path)
    return found


def _llava(number: int, given: Any, images: Path) -> Row:
    origin = str(number)
    try:
        photo, turns = _image(given.get("image"), images), list[Turn]()
        said = given["conversations"]
        roles = [str(turn["from"]) for turn in said]
        if not said or roles != ["human", "gpt"] * (len(said) // 2):
            raise ValueError(f"the turns must alternate human, gpt, human, gpt; they are {roles}")
        marks = [turn["value"].count(examples.IMAGE) for turn in said]
        if marks != [int(photo is not None)] + [0] * (len(marks) - 1):
            wanted = "once, in the first turn" if photo else "nowhere: the record has no image"
            raise ValueError(f"{examples.IMAGE} must stand {wanted}")
        for human, gpt in zip(said[::2], said[1::2], strict=True):
            question = human["value"].replace(examples.IMAGE, "", 1)
            turns.append(Turn(question=question, answer=gpt["value"]))
        lang = str(given.get("lang") or examples.language(turns[0].question + turns[0].answer))
        kind = given.get("kind")
        values = {
            "kind": kind if kind in examples.KINDS else "question",
            "lang": lang if lang in ("zh", "en") else "en",
            "turns": tuple(turns),
            "dish": given.get("dish") if isinstance(given.get("dish"), str) else None,
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        name = given.get("id") if isinstance(given, dict) else None
        said = f"it has no {error}" if isinstance(error, KeyError) else error
        return Row(origin=origin, broken=f"record {name!r}: {said}")
    return Row(origin=origin, values=values, photo=photo)


def _image(given: Any, images: Path) -> Path | None:
    if isinstance(given, list):
        if len(given) > 1:
            raise ValueError(f"it has {len(given)} images; XTuner trains on one a record")
        given = given[0] if given else None
    return None if given is None or given == "" else inside(images, given)
