"""`foodcritic ask`, `evaluate` and `models convert`, run as a person runs them."""

import csv
import io
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from engine import Generation, critic, export
from engine import ask as asking
from foodcritic.cli import Lang, app
from tests import checkpoints
from tests.engines import Scripted

KEYS = {
    *("dish_zh", "dish_en", "cuisine", "score", "unsure", "candidates", "text"),
    *("model", "seconds_to_first_token", "tokens_per_second"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    export.export(checkpoints.write(made / "random"), made / "openvino")
    return made / "openvino"


@pytest.fixture
def run(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FOODCRITIC_MODEL", str(model))
    monkeypatch.setenv("FOODCRITIC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FOODCRITIC_MAX_NEW_TOKENS", "30")
    monkeypatch.chdir(tmp_path)

    def invoke(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return invoke


def picture(seed: int = 0) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(file, "WEBP")
    return file.getvalue()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.webp"
    path.write_bytes(picture())
    return path


def test_json_is_one_object_and_nothing_else(run: Any, photo: Path) -> None:
    """What a script reads."""
    result = run("ask", photo, "--json", "--lang", "zh")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert set(found) == KEYS
    assert found["text"]
    assert found["seconds_to_first_token"] > 0
    assert len(found["candidates"]) <= 3
    assert not (photo.parent / "home" / "foodcritic.db").exists()


def test_an_answer_is_written_as_text_and_a_seed_repeats_it(run: Any, photo: Path) -> None:
    """Into a pipe: plain."""
    first = run("ask", photo, "-q", "Spicy?", "--seed", 7)
    assert first.exit_code == 0, first.output
    assert first.stdout.strip()
    assert "\x1b" not in first.stdout
    assert run("ask", photo, "-q", "Spicy?", "--seed", 7).stdout == first.stdout
    assert run("ask", photo, "-q", "Spicy?", "--seed", -1).exit_code == 0, "any number"


@pytest.mark.parametrize(
    ("lang", "footer"),
    [
        ("zh", r"scripted，首字 \d+ 毫秒"),
        ("en", r"scripted, first word after \d+ ms"),
    ],
)
async def test_a_terminal_is_told_how_fast_it_was_in_the_answers_language(
    lang: Lang, footer: str
) -> None:
    written = io.StringIO()
    request = critic.Request(kind="question", lang=lang, question="Spicy?")
    answer = critic.answer(Scripted(), request, Generation())
    await asking.show(answer, Console(file=written, force_terminal=True))
    assert re.search(footer, written.getvalue())


def test_several_photos_are_answered_one_by_one(run: Any, photo: Path) -> None:
    """With a heading between them."""
    assert "📷 2/2" in run("ask", photo, photo).stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"no photo", "broken.jpg: this file is no photo that can be read: send a JPEG"),
        (picture()[:-40], "broken.jpg: the photo is damaged or cut short"),
    ],
)
def test_a_photo_that_cannot_be_read_is_an_error_not_a_traceback(
    run: Any, tmp_path: Path, content: bytes | None, message: str
) -> None:
    """One line on stderr, nothing on stdout."""
    path = tmp_path / "broken.jpg"
    if content is not None:
        path.write_bytes(content)
    result = run("ask", path, "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_model_is_named(run: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is missing."""
    monkeypatch.setenv("FOODCRITIC_MODEL", "/nowhere/model")
    result = run("ask", photo)
    assert result.exit_code == 1
    assert "there is no model folder /nowhere/model" in result.stderr


def pack(folder: Path, labels: list[tuple[str, str]]) -> Path:
    """An index.csv beside its blobs.bin."""
    rows, blobs = [], b""
    for i, (en, zh) in enumerate(labels):
        data = picture(i)
        rows.append([len(blobs), len(data), "val" if i % 2 else "train", en, zh, i])
        blobs += data
    (folder / "blobs.bin").write_bytes(blobs)
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["offset", "size", "split", "label_en", "label_zh", "food101_id"])
        table.writerows(rows)
    return folder / "index.csv"


LABELS = [("ramen", "日式拉面"), ("pho", "越南河粉"), ("sushi", "寿司")] * 7


def test_naming_is_measured_on_an_index_and_on_a_manifest(run: Any, tmp_path: Path) -> None:
    """Totals on stdout, table and picture in a folder."""
    index = pack(tmp_path, LABELS)
    result = run("evaluate", "naming", index, "--json", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    totals = json.loads(result.stdout)
    assert set(totals) == {"n", "top1", "top3", "unsure", "seconds"}
    assert totals["n"] == len(LABELS)
    assert all(0 <= totals[key] <= 1 for key in ("top1", "top3", "unsure"))
    with (tmp_path / "out" / "naming.csv").open() as file:
        assert sorted(row["dish"] for row in csv.DictReader(file)) == ["pho", "ramen", "sushi"]
    with Image.open(tmp_path / "out" / "confusion.png") as confusion:
        assert min(confusion.size) > 100
    some = run("evaluate", "naming", index, "--json", "--split", "val", "--limit", 5)
    assert json.loads(some.stdout)["n"] == 5
    (tmp_path / "a.webp").write_bytes(picture())
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("file,label_en,label_zh\na.webp,ramen,日式拉面\n", encoding="utf-8")
    assert json.loads(run("evaluate", "naming", manifest, "--json").stdout)["n"] == 1
    assert "1 photos" in run("evaluate", "naming", manifest).stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is neither an index"),
        ("a,b\n1,2\n", "is neither an index"),
        ("offset,size,label_en,label_zh\nx,1,ramen,拉面\n", "line 2: invalid literal"),
        ("offset,size,label_en,label_zh\n-1,1,ramen,拉面\n", "line 2: offset -1"),
        ("offset,size,label_en,label_zh\n0,1,,\n", "line 2: it has no label"),
        ("offset,size,label_en,label_zh\n0,9,ramen,拉面\n", "cannot read"),
        ("file,label_en,label_zh\nnone.jpg,ramen,拉面\n", "cannot read"),
    ],
)
def test_a_wrong_table_is_refused_by_its_line(
    run: Any, tmp_path: Path, text: str, message: str
) -> None:
    """Nothing is guessed."""
    table = tmp_path / "index.csv"
    table.write_text(text, encoding="utf-8")
    result = run("evaluate", "naming", table, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr.replace("\n", " ")


def foodieqa(root: Path) -> None:
    """FoodieQA's three files in small."""
    (root / "pics").mkdir()
    for i in range(4):
        (root / "pics" / f"{i}.webp").write_bytes(picture(i))
    base = {"question": "这道菜是什么菜系？", "choices": ["川菜", "粤菜", "湘菜", "鲁菜"]}
    single = [
        base
        | {"answer": str(i % 4), "question_type": "cuisine_type", "question_id": i}
        | {"food_name": "x", "food_meta": {"food_file": f"pics/{i}.webp", "food_name": "x"}}
        for i in range(4)
    ]
    text = [base | {"answer": "1", "question_type": "cuisine", "question_id": 9}]
    several = [
        {"question": "哪一道是川菜？", "choices": "", "answer": "0", "question_type": "cuisine"}
        | {"images": [f"pics/{i}.webp" for i in range(4)], "question_id": 1, "ann_group": "a"}
    ]
    for name, content in {"sivqa": single, "textqa": text, "mivqa": several}.items():
        (root / f"{name}_tidy.json").write_text(json.dumps(content), encoding="utf-8")


def test_foodieqa_is_scored_and_what_one_photo_cannot_answer_refused(
    run: Any, tmp_path: Path
) -> None:
    """All files at once skips mivqa with a reason; asked for by name, it is an error."""
    foodieqa(tmp_path)
    result = run("evaluate", "foodieqa", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert "sees one photo at a time" in result.stderr
    totals = json.loads(result.stdout)
    assert set(totals) == {"n", "accuracy", "no_letter", "seconds"}
    assert totals["n"] == 5
    refused = run("evaluate", "foodieqa", tmp_path, "--task", "mivqa", "--json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "sees one photo at a time" in refused.stderr
    (tmp_path / "sivqa_tidy.json").unlink()
    assert json.loads(run("evaluate", "foodieqa", tmp_path, "--json").stdout)["n"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no questions: expected sivqa_tidy.json"),
        ("{", "cannot read"),
        ("{}", "is no list of questions"),
        ('[{"question": "?"}]', "question 1: it has no 'choices'"),
        (
            '[{"question":"?","choices":["a"],"answer":"0","food_meta":{"food_file":"../../x"}}]',
            "lies outside",
        ),
        (
            '[{"question":"?","choices":["a"],"answer":"9","food_meta":{"food_file":"x"}}]',
            "question 1: its answer is 9, not 0 to 3",
        ),
    ],
)
def test_a_wrong_question_is_refused_by_its_number(
    run: Any, tmp_path: Path, content: str | None, message: str
) -> None:
    """Nothing is guessed here either."""
    if content is not None:
        (tmp_path / "sivqa_tidy.json").write_text(content)
    result = run("evaluate", "foodieqa", tmp_path, "--task", "sivqa", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_a_checkpoint_is_converted_for_our_engine_and_for_genai(run: Any, tmp_path: Path) -> None:
    """Everything a VLMPipeline looks for is there."""
    source = checkpoints.write(tmp_path / "checkpoint")
    result = run("models", "convert", source, tmp_path / "made")
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert {"openvino_tokenizer.xml", "openvino_detokenizer.xml", "config.json"} <= names
    assert export.is_exported(tmp_path / "made")
    broken = run("models", "convert", tmp_path, tmp_path / "other")
    assert broken.exit_code == 1
    assert "holds no readable config.json" in broken.stderr


def test_a_photo_may_come_through_a_pipe(run: Any, photo: Path, tmp_path: Path) -> None:
    """As of `foodcritic ask <(curl …)`: it can be read but once."""
    for words in (["ask"], ["meme", "--caption", "Yum", "-o", tmp_path / "meme.jpg"]):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with ThreadPoolExecutor() as pool:
            pool.submit(pipe.write_bytes, photo.read_bytes())
            result = run(*words, pipe)
        pipe.unlink()
        assert result.exit_code == 0, result.output


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output.split()[0]) == (0, "foodcritic")


def test_a_home_that_cannot_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOODCRITIC_HOME", "/proc/nowhere")
    sample = Path(__file__).parents[1] / "samples" / "pizza.jpg"
    result = CliRunner().invoke(app, ["ask", str(sample)])
    assert result.exit_code == 1
    assert result.output.startswith("error: /proc/nowhere: ")
    assert "FOODCRITIC_HOME must be a folder this user may write to" in result.output
