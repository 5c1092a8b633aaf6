"""Photos drawn by code and small datasets of them, for the tests of `foodcritic data`."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from foodcritic.dialogue import Turn
from training import examples, pictures
from training.examples import Example, Source

#: Ways to send a photo again, and whether it is then the same photo or one near it.
VARIANTS = ("as it was", "compressed", "half the size", "brighter", "cropped")


@cache
def photo(seed: int, variant: str = "as it was") -> bytes:
    """A JPEG, another for each seed."""
    blobs = np.random.default_rng(seed).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    image = Image.fromarray(blobs).resize((240, 200), Image.Resampling.BICUBIC)
    quality = 92
    if variant == "compressed":
        quality = 40
    elif variant == "half the size":
        image = image.resize((120, 100))
    elif variant == "brighter":
        image = ImageEnhance.Brightness(image).enhance(1.04)
    elif variant == "cropped":
        image = image.crop((4, 4, 236, 196))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def kept(home: Path, data: bytes) -> str:
    """The photo in the home's store; its id."""
    return pictures.keep(pictures.store(home), data).id


def said(
    origin: object, photo: str | None = None, question: str = "What is it?", **values: Any
) -> Example:
    """An example of the source `test`."""
    answer = values.pop("answer", "A stew.")
    given: dict[str, Any] = {
        "source": "test",
        "origin": str(origin),
        "kind": "question",
        "lang": "en",
        "photo": photo,
        "turns": (Turn(question=question, answer=answer),),
    }
    return examples.example(**(given | values))


def source(*made: Example, name: str = "test") -> Source:
    """These examples as a source."""
    return Source(name=name, licence="none", consent="drawn by code", examples=made)


def foodieqa(root: Path, count: int = 4) -> Path:
    """FoodieQA's files as the project publishes them, with drawn photos."""
    (root / "images").mkdir(parents=True)
    about: list[dict[str, Any]] = []
    for number in range(count):
        name = f"images/14456664_{number}_IMG.jpeg"
        (root / name).write_bytes(photo(number))
        meta = {"id": number, "food_name": "豆汁儿", "food_file": name, "main_ingredient": ["绿豆"]}
        about.append(
            {
                "question": "图片中的食物通常是热的还是凉的？",
                "choices": ["热的", "凉的", "温的", "冰的"],
                "answer": str(number % 4),
                "question_type": "flavor",
                "food_name": "豆汁儿",
                "question_id": f"q{number}",
                "food_meta": meta,
                "question_en": "Is the food in the picture hot or cold?",
                "choices_en": ["hot", "cold", "warm", "icy"],
            }
        )
    write(root / "sivqa_tidy.json", about)
    textual = {
        "question": "以下哪道菜是川菜？",
        "choices": ["麻婆豆腐", "白切鸡", "煎饼果子", "佛跳墙"],
        "answer": "0",
        "question_type": "cuisine",
        "food_name": "麻婆豆腐",
        "cuisine_type": "川菜",
        "question_id": "t1",
    }
    write(root / "textqa_tidy.json", [textual])
    return root


def oogiri(root: Path, rows: Sequence[tuple[int, str, int | None]]) -> Path:
    """CLoT-Oogiri-GO with these (picture, caption, stars), and rows that are not wanted."""
    (root / "images").mkdir(parents=True)
    lines: list[dict[str, Any]] = [
        {"type": "T2T", "question": "为什么？", "image": None, "text": "因为", "star": 9},
        {"type": "IT2T", "question": None, "image": "0", "text": "填空", "star": 9},
    ]
    for number, caption, stars in rows:
        name = f"007aPn{number}"
        (root / "images" / f"{name}.jpg").write_bytes(photo(100 + number))
        lines.append(
            {"type": "I2T", "question": None, "image": name, "text": caption, "star": stars}
        )
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (root / "cn.jsonl").write_text(text, encoding="utf-8")
    return root


def write(path: Path, value: Any) -> Path:
    """A JSON file."""
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path
