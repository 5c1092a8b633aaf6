"""Memes: any script, any size, nothing outside the picture and never a box for a letter."""

from __future__ import annotations

import json
import time
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops
from typer.testing import CliRunner

import engine
from foodcritic import dishes
from foodcritic.cli import app
from foodcritic.critique import Candidate
from foodcritic.dishes import Lang
from foodcritic.drawing import captions, faces, fonts, layout, meme, paint, text, words
from foodcritic.drawing.fonts import Face
from foodcritic.errors import CaptionError
from foodcritic.prompts import MemeStyle
from tests import plates
from tests.botbench import Model
from tests.conftest import CHARACTERS

STYLES: tuple[MemeStyle, ...] = get_args(MemeStyle)
shaped = pytest.mark.skipif(not fonts.RAQM, reason="Pillow finds no FriBiDi here")


@cache
def picture(name: str) -> Image.Image:
    return plates.PICTURES[name]()


def base(photo: Image.Image) -> Image.Image:
    """The photo as the caption finds it."""
    return paint.padded(paint.fitted(photo, meme.LONGEST, meme.SHORTEST), meme.RATIO, meme.INK)


def written(photo: Image.Image, drawn: Image.Image, style: MemeStyle) -> tuple[int, int, int, int]:
    """The box of all pixels the caption changed, in the drawn picture."""
    bases = [base(photo)]
    if style == "subtitle":
        bases = [meme.film(bases[0], below)[0] for below in meme.BELOW]
    before = next(image for image in bases if image.size == drawn.size)
    found = ImageChops.difference(before, drawn).getbbox()
    assert found is not None, "nothing is written"
    return found


def assert_inside(photo: Image.Image, drawn: Image.Image, style: MemeStyle) -> None:
    left, top, right, bottom = written(photo, drawn, style)
    assert left >= 2, (left, drawn.size)
    assert top >= 2, (top, drawn.size)
    assert right <= drawn.width - 2, (right, drawn.size)
    assert bottom <= drawn.height - 2, (bottom, drawn.size)


@cache
def glyphs(face: Face) -> frozenset[int]:
    """What fontTools says a font covers; `fonts.coverage` reads the table itself."""
    with TTFont(face.path, fontNumber=face.index, lazy=True) as opened:
        # Names for sixty thousand glyphs, which we do not ask for, would take a second.
        opened.setGlyphOrder([str(number) for number in range(opened["maxp"].numGlyphs)])
        return frozenset(opened.getBestCmap())


@cache
def tofu(face: Face) -> bytes:
    """What a face draws for a character that it lacks."""
    mask = fonts.font(face, 40).getmask("\U0010fffd")
    return bytes(mask) + bytes(str(mask.size), "ascii")


def is_tofu(cluster: str, face: Face) -> bool:
    mask = fonts.font(face, 40).getmask(cluster)
    return bool(tofu(face).strip(b"\0()0, ")) and bytes(mask) + bytes(
        str(mask.size), "ascii"
    ) == tofu(face)


def test_there_are_sixty_captions_in_six_scripts_and_ten_pictures() -> None:
    """As the sheet in the docs shows them."""
    assert [len(some) for some in plates.CAPTIONS.values()] == [10] * 6
    assert len(plates.PICTURES) == 10


@shaped
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("script", plates.CAPTIONS)
def test_every_caption_stays_inside_every_picture(script: str, style: MemeStyle) -> None:
    """Ten captions of a script, each on a picture of its own."""
    names = list(plates.PICTURES)
    turn = list(plates.CAPTIONS).index(script) + STYLES.index(style)
    for at, (lang, said) in enumerate(plates.CAPTIONS[script]):
        photo = picture(names[(at + turn) % len(names)])
        drawn = meme.draw(photo, said, style, lang)
        assert max(drawn.size) <= meme.LONGEST + 1
        assert_inside(photo, drawn, style)


@shaped
@pytest.mark.parametrize("voice", ["headline", "subtitle", "bold", "text"])
def test_no_caption_has_a_missing_glyph(voice: fonts.Voice) -> None:
    """By the font's own character map, and by what is drawn."""
    for _, lang, said in plates.ALL:
        for line in text.clean(said).split("\n"):
            for cluster, face in faces.choose(line, voice, lang):
                missing = {c for c in cluster if ord(c) not in glyphs(face)} - set("\u200d\ufe0f")
                assert not missing, (said, cluster, face)
                assert cluster == " " or not is_tofu(cluster, face), (said, cluster, face)


def test_a_missing_glyph_would_be_seen() -> None:
    """The pixel check above can fail: a Latin font has no Chinese."""
    anton = fonts.chain("headline", "en")[0]
    assert is_tofu("面", anton)
    assert not is_tofu("A", anton)


def test_our_reading_of_a_character_map_is_fonttools() -> None:
    """For every font we use."""
    for face in {*fonts.chain("headline", "zh"), *fonts.emoji()}:
        assert fonts.coverage(face.path) == glyphs(face), face.path.name


def test_a_character_that_no_font_draws_is_named() -> None:
    """Never a box: U+A4D0 is Lisu, which none of our fonts has."""
    with pytest.raises(CaptionError, match=r"ꓐ \(U\+A4D0\)") as caught:
        meme.draw(picture("rice"), "good ꓐ food")
    assert caught.value.code == "no_glyph"


@pytest.mark.parametrize(
    "size", [(1, 1), (64, 64), (64, 4000), (4000, 64), (7000, 7000), (640, 480), (1281, 3)]
)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("said", ["饿", "吃" * text.MOST_CLUSTERS, "W" * text.MOST_CLUSTERS])
def test_any_size_takes_the_shortest_and_the_longest_caption(
    size: tuple[int, int], style: MemeStyle, said: str
) -> None:
    """From a pixel to 49 megapixels."""
    photo = Image.new("RGB", size, (90, 140, 60))
    drawn = meme.draw(photo, said, style, "zh")
    assert meme.SHORTEST <= max(drawn.size) <= meme.LONGEST + 1
    assert_inside(photo, drawn, style)


HOSTILE = {
    "controls": "so\x00 \x1bgo\x7fod\x9c",
    "bidi overrides": "\u202egood\u202c \u2066food\u2069\u200f",
    "zalgo": "z" + "\u0334\u0353\u033a\u0321" * 40 + "o",
    "zero width": "g\u200bo\u2060o\ufeffd",
    "line breaks": "\n\n\r\n good\u2028\u2029\v\f food \n\n" + "\n".join("abcdefgh"),
    "only emoji": "😂" * 30,
    "a model's tokens": "<|im_start|><img>good</img>",
    "format": "%s {0} ${x} \\n",
}


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("style", STYLES)
def test_hostile_captions_are_drawn_as_what_they_show(said: str, style: MemeStyle) -> None:
    """What shows nothing is dropped, what piles up is cut, and all stays inside."""
    photo = picture("rice")
    assert_inside(photo, meme.draw(photo, said, style), style)


def test_nothing_invisible_survives_cleaning() -> None:
    """And everything visible does."""
    assert text.clean(HOSTILE["controls"]) == "so good"
    assert text.clean(HOSTILE["bidi overrides"]) == "good food"
    assert text.clean(HOSTILE["zero width"]) == "good"
    assert len(text.clean(HOSTILE["zalgo"])) == 2 + text.MOST_MARKS
    assert text.clean(HOSTILE["line breaks"]).count("\n") == text.MOST_LINES - 1
    assert text.clean(HOSTILE["a model's tokens"]) == HOSTILE["a model's tokens"]
    assert text.clean("👨‍👩‍👧 phở việt") == "👨‍👩‍👧 phở việt"


@pytest.mark.parametrize("said", ["", " \n\t", "\u200d\ufe0f", "\u202e\u202c", "\x00"])
def test_an_empty_caption_is_refused(said: str) -> None:
    """A meme without text is the photo."""
    with pytest.raises(CaptionError) as caught:
        meme.draw(picture("rice"), said)
    assert caught.value.code == "empty"


@pytest.mark.parametrize("said", ["a" * 10_000, "好" * 10_000, "e\u0301" * 5_000, "ab " * 60])
def test_too_long_a_caption_is_refused_with_the_limit(said: str) -> None:
    """Ten thousand characters are no caption."""
    with pytest.raises(CaptionError, match=f"at most {text.MOST_CLUSTERS}") as caught:
        meme.draw(picture("rice"), said)
    assert caught.value.code == "too_long"


@settings(max_examples=80, deadline=None)
@given(
    said=st.text(CHARACTERS, max_size=80)
    | st.text(
        st.sampled_from("aW 吃。（「っー한😂👍🏽\u200d\ufe0f🇨🇳شكرا3,!\n\u0301"), max_size=170
    ),
    style=st.sampled_from(STYLES),
)
@example(said="0\ufe0f", style="top_bottom")  # the emoji's font has an empty nought
@example(said="5\u20e3", style="top_bottom")  # and no short form of a key
def test_any_text_is_drawn_inside_or_refused(said: str, style: MemeStyle) -> None:
    """No other error, no other outcome."""
    photo = picture("rice")
    try:
        drawn = meme.draw(photo, said, style, "zh")
    except CaptionError:
        return
    assert_inside(photo, drawn, style)


def lines(said: str, width: float, size: int = 40, lang: Lang = "zh") -> list[str]:
    block = layout.fit(said, "bold", lang, width, 9999, largest=size, smallest=size)
    assert block is not None
    return ["".join(run.text for run in line.runs) for line in block.lines]


@pytest.mark.parametrize(
    "said",
    [
        "今天吃什么？当然是火锅，还有“冰粉”。",
        "スマートフォンで「ちょっと」撮って、食べた。",
        "很贵（¥128）吗？",
    ],
)
def test_no_line_begins_or_ends_against_kinsoku(said: str) -> None:
    """At any width that holds the five characters of ちょっと」, which stay together."""
    for width in range(5 * 40 + 1, 14 * 40, 13):
        broken = lines(said, width)
        assert "".join(broken) == said
        for line in broken[1:]:
            assert line[0] not in "。，、？！）」”っょャュョッー", broken
        for line in broken[:-1]:
            assert line[-1] not in "（「“¥", broken


def test_words_stay_whole_where_there_is_room() -> None:
    """Latin and Korean break at spaces, Chinese and Japanese between words."""
    assert lines("치킨은 살 안 쪄요", 160) == ["치킨은 살", "안 쪄요"]
    assert lines("an apple a day", 200, lang="en") == ["an apple", "a day"]
    assert lines("今天的晚饭是红烧肉和米饭", 330) == ["今天的晚饭是", "红烧肉和米饭"]


def test_quotation_marks_take_the_shape_of_what_they_quote() -> None:
    """Wide beside Chinese, narrow beside Latin, both of a pair alike."""
    latin, chinese = (faces.choose(f"“{said}”", "bold", "zh") for said in ("so", "饿"))
    assert {face for _, face in latin} == {fonts.chain("bold", "zh")[0]}
    assert {face for _, face in chinese} == {fonts.chain("bold", "zh")[1]}


def test_emoji_are_one_glyph_however_many_parts_they_have() -> None:
    """And are never cut by a line's end."""
    family = "👨‍👩‍👧‍👦"
    assert text.clusters(f"{family}🇨🇳👍🏽1️⃣") == [family, "🇨🇳", "👍🏽", "1️⃣"]
    if fonts.RAQM:
        font = fonts.font(fonts.emoji()[0], 100)
        one = font.getlength("😂")
        assert [font.getlength(c) for c in (family, "🇨🇳", "👍🏽", "1️⃣")] == [one] * 4


def test_emoji_are_drawn_in_colour() -> None:
    """On grey, a tear of joy is yellow and blue."""
    drawn = meme.draw(Image.new("RGB", (640, 480), (128, 128, 128)), "😂", "top_bottom")
    red, green, blue = np.moveaxis(np.asarray(drawn), 2, 0)
    assert ((red > 200) & (green > 150) & (blue < 110)).any()
    assert ((blue > 180) & (red < 130)).any()


@shaped
def test_arabic_is_joined_and_runs_from_the_right() -> None:
    """Joined letters are narrower than single ones; numbers and Latin keep their direction."""
    (_, face), *_ = faces.choose("سلام", "bold", "en")
    font = fonts.font(face, 80)
    assert font.getlength("سلام") < 0.9 * sum(font.getlength(letter) for letter in "سلام")
    block = layout.fit("طلبت 35 أطباق 😂 pizza", "bold", "en", 2000, 99, largest=40)
    assert block is not None
    shown = [run.text.strip() for run in block.lines[0].runs if run.text.strip()]
    assert shown == ["pizza", "😂", "أطباق", "35", "طلبت"]


@pytest.mark.parametrize("said", ["سلام", "שלום", "สวัสดี", "नमस्ते"])
def test_without_a_shaping_library_such_scripts_are_refused(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn letter by letter they would be wrong, which is worse than an error."""
    monkeypatch.setattr(fonts, "RAQM", False)
    words.measured.cache_clear()
    with pytest.raises(CaptionError, match="libfribidi") as caught:
        meme.draw(picture("rice"), said)
    assert caught.value.code == "no_shaping"


def test_without_a_shaping_library_the_rest_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emoji by their first part; no box for the joiner between."""
    monkeypatch.setattr(fonts, "RAQM", False)
    fonts.font.cache_clear()
    words.measured.cache_clear()
    try:
        for said in ("面 👨‍👩‍👧 1️⃣", "한 그릇 더, ラーメン", "phở"):
            photo = picture("rice")
            assert_inside(photo, meme.draw(photo, said), "top_bottom")
            for cluster, face in faces.choose(said, "bold", "zh"):
                assert all(ord(c) in glyphs(face) for c in cluster)
    finally:
        fonts.font.cache_clear()
        words.measured.cache_clear()


@pytest.mark.parametrize(
    ("said", "top", "bottom"),
    [
        ("an apple a day, technically", "an apple a day", "technically"),
        ("我和减肥之间，只差这块派", "我和减肥之间", "只差这块派"),
        ("Tired? Eat.", "", "Tired? Eat."),
        ("饿", "", "饿"),
        ("first\nsecond", "first", "second"),
        ("my favourite fruit comes with a lid", "my favourite fruit", "comes with a lid"),
        ("Why not both? Because of 3.14 reasons", "Why not both?", "Because of 3.14 reasons"),
        ("吃饱了才有力气减肥", "", "吃饱了才有力气减肥"),
        ("再吃一口就走——我说过", "再吃一口就走", "我说过"),
        ("I came for one — I stayed", "I came for one", "I stayed"),
    ],
)
def test_a_caption_is_cut_where_its_joke_turns(said: str, top: str, bottom: str) -> None:
    """The set-up above, the punch line below."""
    assert meme.halves(said) == (top, bottom)


def test_a_bubble_stands_on_a_calm_place() -> None:
    """The busy side of a photo stays visible."""
    photo = Image.new("RGB", (1200, 800), (120, 160, 120))
    photo.paste(plates._noise(700, 800), (500, 0))
    left, _, right, _ = written(photo, meme.draw(photo, "eat me", "speech"), "speech")
    assert right < 560
    mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    left, _, right, _ = written(mirrored, meme.draw(mirrored, "eat me", "speech"), "speech")
    assert left > 640


@pytest.mark.parametrize("style", STYLES)
def test_a_meme_takes_less_than_50_ms(style: MemeStyle) -> None:
    """Of one CPU, for a photo of 1280 x 960, once its fonts are open; the slowest of ours."""
    photo = picture("noodles")
    for said in (plates.CAPTIONS["Latin"][4][1], plates.CAPTIONS["zh"][5][1], "Phở còn gì nữa?"):
        took = []
        for _ in range(6):
            started = time.process_time()
            meme.draw(photo, said, style, "zh")
            took.append(time.process_time() - started)
        assert min(took) < 0.05, said  # what else the machine does can only add to it


def test_captions_are_read_from_a_models_answer() -> None:
    """Whatever a model puts around them."""
    answer = (
        "Here are three captions:\n\n1. **An apple a day**\n2) “easy as pie”\n- 'flaky, like me'\n"
        "4. one too many"
    )
    assert captions.read(answer) == ("An apple a day", "easy as pie", "flaky, like me")
    assert captions.read("①「一天一苹果」\n文案2：派也算数\n派也算数") == ("一天一苹果", "派也算数")
    assert captions.read("ꓐꓐꓐ\n\x00\n" + "x" * 500) == ()
    assert captions.read("3 forks, 1 cake") == ("3 forks, 1 cake",)
    assert captions.read("现�这身膘\n派也算数") == ("派也算数",)


def test_the_best_caption_is_the_one_about_the_dish() -> None:
    """Length first, then the dish, then a turn; ties go to the first."""
    pie = (Candidate(name_zh="苹果派", name_en="Apple pie"),)
    three = ("so tasty and good", "easy as apple pie, they said", "wow")
    assert captions.best(three, "en", pie) == three[1]
    assert captions.best(("好吃到跺脚，真的", "苹果派才是正经事"), "zh", pie) == "苹果派才是正经事"
    assert captions.best(("one two three", "four five six"), "en") == "one two three"
    assert captions.best((), "en") is None
    dish = dishes.DISHES["apple_pie"]
    assert captions.points("cinnamon rules my kitchen", "en", dish) == 4
    assert captions.points("word " * 40, "en", dish) < 0


def test_the_shell_draws_a_given_caption(tmp_path: Path) -> None:
    """Without a model, a database or a token."""
    photo, out = tmp_path / "p.png", tmp_path / "meme.jpg"
    picture("noodles").save(photo)
    words = ["meme", str(photo), "--caption", "老板，多放香菜", "--style", "speech", "-o", str(out)]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["caption"] == "老板，多放香菜"
    with Image.open(out) as drawn:
        assert drawn.size == (found["width"], found["height"]) == (1280, 960)


@pytest.mark.parametrize(
    ("out", "caption", "says"),
    [
        ("meme.txt", "yum", "end the name in .jpg or .png"),
        ("no/such/folder/meme.jpg", "yum", "cannot write"),
        ("meme.jpg", "ꓐ", "no font here draws"),
        ("meme.jpg", " ", "the caption is empty"),
    ],
)
def test_the_shell_says_what_is_wrong(tmp_path: Path, out: str, caption: str, says: str) -> None:
    """One line, no traceback."""
    photo = tmp_path / "p.png"
    picture("rice").save(photo)
    words = ["meme", str(photo), "--caption", caption, "-o", str(tmp_path / out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output


def test_the_shell_draws_the_best_of_the_models_captions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All three are listed, the one about the dish is drawn."""

    async def load(_: object) -> Model:
        return Model(answer=lambda _: "1. so good\n2. apple pie, hold the apple\n3. ꓐ")

    monkeypatch.setattr(engine, "load", load)
    monkeypatch.setenv("FOODCRITIC_HOME", str(tmp_path))
    photo, out = tmp_path / "p.png", tmp_path / "meme.png"
    picture("rice").save(photo)
    result = CliRunner().invoke(app, ["meme", str(photo), "-o", str(out), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["captions"] == ["so good", "apple pie, hold the apple"]
    assert found["caption"] == "apple pie, hold the apple"
    with Image.open(out) as drawn:
        assert drawn.tobytes() == meme.draw(picture("rice"), found["caption"]).tobytes()


def test_the_shell_says_when_a_model_wrote_no_caption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what to do instead."""

    async def load(_: object) -> Model:
        return Model(answer=lambda _: "ꓐ")

    monkeypatch.setattr(engine, "load", load)
    photo = tmp_path / "p.png"
    picture("rice").save(photo)
    result = CliRunner().invoke(app, ["meme", str(photo), "-o", str(tmp_path / "m.jpg")])
    assert result.exit_code == 1
    assert "--caption" in result.output
    assert not (tmp_path / "m.jpg").exists()
