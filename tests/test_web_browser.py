"""The page in a real browser, over the real queue and worker."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import sqlalchemy as sa
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from engine import nano
from engine import openvino as openvino_engine
from foodcritic import corrections, feedback, photos, privacy, queue, tables
from foodcritic import db as database
from foodcritic.db import Database
from foodcritic.queue import JobStatus
from foodcritic.settings import Settings
from tests.engines import Scripted
from tests.webpage import Seen, chromium, dish, needs_chromium, pieces, serving, tab
from web import transcript
from web.transcript import Visitor

pytestmark = [needs_chromium, pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

RAMEN = "**Ramen** (日式拉面) · Japanese · 8/10\n\nThe broth is deep.\n\nThe egg is jammy."
ANSWERS = "#fc-chat .bot-row"
EYES = 30_000  #: milliseconds anything may take to be seen: cores may be busy
expect.set_options(timeout=EYES)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests: its start takes seconds, and each tab is of a visitor nobody has seen."""
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def kitchen(backend: Settings) -> AsyncIterator[Database]:
    """A database on the real clock."""
    async with database.connected(backend) as opened:
        yield opened


async def send(page: Page, text: str = "", *photos: bytes) -> None:
    """Put photos and a text into the box and press Enter."""
    if photos:
        await page.set_input_files(
            "#fc-box input[type=file]",
            [FilePayload(name="a.jpg", mimeType="image/jpeg", buffer=photo) for photo in photos],
        )
        await expect(page.locator("#fc-box .thumbnail-item")).to_have_count(len(photos))
    if text:
        await page.fill("#fc-box textarea", text)
    await page.press("#fc-box textarea", "Enter")


async def quiet(page: Page, answers: int) -> None:
    """Wait until so many answers are there and nothing is being waited for."""
    await expect(page.locator(ANSWERS)).to_have_count(answers)
    await expect(page.locator("#fc-box .submit-button")).to_be_visible()
    await expect(page.locator(".fc-waiting, .fc-growing")).to_have_count(0)


async def visitor_of(db: Database) -> Visitor:
    """The only visitor there is."""
    async with db.read() as session:
        (number,) = await session.scalars(sa.select(tables.User.id))
    return Visitor(number)


async def test_a_photo_then_two_questions_are_answered_and_survive_a_reload(
    kitchen: Database,
    browser: Browser,
) -> None:
    """The tutorial's demo lost the photo and died on the second turn."""
    engine, seen = Scripted(pieces=[*pieces(RAMEN)], pause=0.01), Seen()
    async with (
        serving(kitchen, engine) as url,
        tab(browser, url, seen) as page,
    ):
        await send(page, "", dish(1))
        await quiet(page, 1)
        await expect(page.locator(".fc-dish")).to_have_text("Ramen")
        await expect(page.locator(".fc-seal")).to_have_text("8/10")
        engine.pieces = ["It is Japanese."]
        await page.click(".fc-chip >> nth=0")
        await quiet(page, 2)
        engine.pieces = ["Not very."]
        await send(page, "Is it <b>spicy</b>?")
        await page.press("#fc-box textarea", "Enter")  # twice, as people do
        await quiet(page, 3)
        await expect(page.locator(".toast-body")).to_have_count(0)
        await expect(page.locator("#fc-chat .user-row").last).to_have_text("Is it <b>spicy</b>?")
        shown = page.locator(".fc-photos img")
        await expect(shown).to_have_count(1)
        await page.wait_for_function("document.querySelector('.fc-photos img').naturalWidth == 640")
        await page.reload()
        await quiet(page, 3)
        await expect(page.locator(ANSWERS).nth(2)).to_contain_text("Not very.")
        await expect(page.locator(ANSWERS).nth(1)).to_contain_text("It is Japanese.")
        assert {urlsplit(address).hostname for address in seen.asked} <= {"127.0.0.1", None}
        assert seen.complaints == []
    # every question showed the model the photo
    assert all(asked[-1].images or asked[0].images for asked in engine.asked)
    assert len(engine.asked) == 3


async def test_no_click_is_lost_however_early_it_comes_and_late_the_stream(
    kitchen: Database,
    browser: Browser,
) -> None:
    """A click as the last event's stream ends was answered, but its answer never shown."""
    engine = Scripted(pieces=[RAMEN])
    async with (
        serving(kitchen, engine) as url,
        tab(browser, url, late=200) as page,
    ):
        await page.click(".fc-chip >> nth=0")
        await expect(page.locator(".toast-body")).to_contain_text("Send a photo")
        for answers in range(1, 9):
            await page.locator(".fc-sample").nth(answers % 4).click()
            await expect(page.locator(ANSWERS)).to_have_count(answers)
        await quiet(page, 8)


async def test_an_answer_given_while_the_page_was_down_is_shown_without_a_reload(
    kitchen: Database,
    browser: Browser,
) -> None:
    async with contextlib.AsyncExitStack() as tabs:
        async with serving(kitchen) as url:
            page = await tabs.enter_async_context(tab(browser, url))
            await page.locator(".fc-sample").first.click()
            await expect(page.locator(".fc-waiting")).to_be_visible()
        async with serving(kitchen, Scripted(pieces=[RAMEN]), web_port=urlsplit(url).port):
            await quiet(page, 1)
            await expect(page.locator(".fc-dish")).to_have_text("Ramen")


async def test_several_photos_and_a_second_photo_work(kitchen: Database, browser: Browser) -> None:
    """Each photo reaches the model; a new one begins a new dialogue in the same conversation."""
    engine = Scripted(pieces=[RAMEN])
    async with serving(kitchen, engine) as url, tab(browser, url) as page:
        await send(page, "", dish(1), dish(2), dish(3))
        await quiet(page, 1)
        await expect(page.locator(".fc-photos img")).to_have_count(3)
        await expect(page.locator(".fc-dish")).to_have_count(3)  # the model sees one at a time
        await send(page, "", dish(4))
        await quiet(page, 2)
        # A thumb down, and then the pencil: one card at a time.
        await page.locator("#fc-chat button[aria-label='dislike' i]").last.click()
        await expect(page.locator("#fc-consent")).to_be_visible()
        await page.locator(".fc-fix").last.click()
        await expect(page.locator("#fc-fix")).to_be_visible()
        await expect(page.locator("#fc-consent")).to_be_hidden()
        await page.get_by_role("button", name="Never mind").click()
        await expect(page.locator("#fc-consent")).to_be_visible()
    assert sum(len(m.images) for asked in engine.asked for m in asked) == 4
    turns = await transcript.turns(kitchen, await visitor_of(kitchen))
    assert len({job.dialogue_id for job in turns}) == 2


async def test_stop_keeps_what_was_said_and_try_again_asks_once_more(
    kitchen: Database, browser: Browser
) -> None:
    engine = Scripted(pieces=["word "] * 2000, pause=0.02)
    async with serving(kitchen, engine) as url, tab(browser, url) as page:
        await send(page, "", dish(1))
        await expect(page.locator(ANSWERS)).to_contain_text("word word")
        await page.click("#fc-box .stop-button")
        await expect(page.locator(".fc-note")).to_have_text("Stopped.")
        await quiet(page, 1)
        await expect(page.locator(ANSWERS)).to_contain_text("word word")
        engine.pieces = [RAMEN]
        await page.click("#fc-chat button[aria-label='Retry']")
        await quiet(page, 2)
        await expect(page.locator(".fc-dish")).to_have_text("Ramen")
    turns = await transcript.turns(kitchen, await visitor_of(kitchen))
    assert [job.status for job in turns] == [JobStatus.CANCELLED, JobStatus.SUCCEEDED]
    assert turns[0].photos == turns[1].photos


async def test_ratings_are_stored_replaced_and_shown_again(
    kitchen: Database, browser: Browser
) -> None:
    """While the answer grows, and as fast as thumbs can be pressed: the last one counts."""
    engine = Scripted(pieces=["word "] * 2000, pause=0.02)

    async def stored(expected: list[int]) -> None:
        visitor = await visitor_of(kitchen)
        jobs = [job.id for job in await transcript.turns(kitchen, visitor)]
        async with asyncio.timeout(EYES / 1000):
            while True:
                rated = await feedback.ratings(kitchen, "web", visitor.id, jobs)
                if [*rated.values()] == expected:
                    return
                await asyncio.sleep(0.05)

    def thumb(label: str) -> Locator:
        return page.locator(f"#fc-chat button[aria-label='{label}' i]")

    async with serving(kitchen, engine) as url, tab(browser, url) as page:
        await send(page, "", dish(1))
        await expect(page.locator(".fc-growing")).to_have_count(1)
        await thumb("like").click()
        await stored([1])
        await page.locator("#fc-consent button").first.click()  # asked at the first rating
        await expect(page.locator(".toast-body")).to_contain_text("I may learn from you")
        await expect(page.locator("#fc-consent")).to_be_hidden()
        assert await privacy.consent(kitchen, "web", (await visitor_of(kitchen)).id) is True
        await page.click("#fc-box .stop-button")
        await quiet(page, 1)
        await expect(thumb("liked")).to_have_count(1)
        async with kitchen.write():  # nothing is stored meanwhile, so the presses overlap
            for label in ("liked", "dislike"):
                async with page.expect_request("**/queue/join*"):
                    await thumb(label).click()
        await stored([-1])
        await page.reload()
        await quiet(page, 1)
        await expect(thumb("disliked")).to_have_count(1)
        await expect(page.locator("#fc-consent")).to_be_hidden()


async def test_an_answer_is_corrected_the_correction_shown_again_and_taken_back(
    kitchen: Database,
    browser: Browser,
) -> None:
    """By the keyboard, too; what is typed is no markup, and consent is asked once."""
    seen = Seen()
    async with (
        serving(kitchen, Scripted(pieces=[RAMEN])) as url,
        tab(browser, url, seen) as page,
    ):
        card, pencil = page.locator("#fc-fix"), page.locator(".fc-fix")
        for answers in (1, 2):
            await send(page, "", dish(answers))
            await quiet(page, answers)
        await expect(pencil).to_have_count(2)
        await expect(pencil.first).to_have_attribute("aria-label", "Correct this answer")
        await pencil.first.press("Enter")
        await expect(card).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(card).to_be_hidden()
        await pencil.first.press("Enter")
        await card.get_by_label("Pho").check()
        await page.locator("#fc-fix button.primary").press("Enter")
        await expect(page.locator(".toast-body")).to_contain_text("Pho")
        await expect(card).to_be_hidden()
        await page.locator("#fc-consent button").first.click()
        await expect(page.locator("#fc-consent")).to_be_hidden()
        (said,) = await corrections.pending(kitchen)
        visitor = await visitor_of(kitchen)
        first, _ = await transcript.turns(kitchen, visitor)
        assert (said.job_id, said.dish, said.lang) == (first.id, "Pho", "en")
        await page.reload()
        await quiet(page, 2)
        await pencil.first.click()
        await expect(card.get_by_label("Pho")).to_be_checked()
        await page.fill("#fc-fix-dish input, #fc-fix-dish textarea", "<img src=//evil.example/x>")
        await page.locator("#fc-fix button.primary").click()
        await expect(page.locator(".toast-body").last).to_contain_text("<img src=//evil")
        await expect(page.locator("#fc-consent")).to_be_hidden()
        await pencil.first.click()
        await card.get_by_role("button", name="Take it back").click()
        await expect(card).to_be_hidden()
        async with asyncio.timeout(EYES / 1000):
            while await corrections.pending(kitchen):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert {urlsplit(address).hostname for address in seen.asked} <= {"127.0.0.1", None}
        assert seen.complaints == []


async def test_a_visitor_sees_what_is_held_and_deletes_it_all(
    kitchen: Database, browser: Browser
) -> None:
    engine, seen = Scripted(pieces=[RAMEN]), Seen()
    async with (
        serving(kitchen, engine) as url,
        tab(browser, url, seen) as page,
    ):
        await page.locator(".fc-sample").first.click()
        await quiet(page, 1)
        other = await page.context.new_page()
        await other.goto(url)
        await quiet(other, 1)
        await page.click("#fc-privacy")
        await expect(page.locator("dd")).to_have_text(["1", "1", "0", "0"])
        async with page.expect_download() as download:
            await page.click("text=Download my data")
        assert (await download.value).suggested_filename == "foodcritic.zip"
        grave = page.locator("button.grave")
        await expect(grave).to_be_hidden()  # one click deletes nothing
        await page.click("summary")
        await grave.click()
        await expect(page.locator("[role=status]")).to_contain_text("Everything is deleted")
        await page.click("text=Back to the table")
        await expect(page.locator("#fc-chat .fc-invite")).to_be_visible()
        await expect(page.locator(ANSWERS)).to_have_count(0)
        await expect(other.locator("#fc-chat .fc-invite")).to_be_visible()
        assert seen.complaints == []
    async with kitchen.read() as session:
        assert await session.scalar(sa.select(sa.func.count(tables.Job.id))) == 0


async def test_the_queue_position_is_shown_while_waiting(
    kitchen: Database, browser: Browser
) -> None:
    """Nobody answers: the page says how many are before, and a stop takes the question back."""
    async with serving(kitchen) as url, tab(browser, url) as page:
        for number in (1, 2):
            await queue.enqueue(
                kitchen,
                queue.NewJob(
                    key=f"k{number}", channel="shell", chat_id=1, user_id=number, lang="en"
                ),
            )
        await send(page, "", dish(1))
        waiting = page.locator(".fc-waiting")
        await expect(waiting).to_contain_text("2 questions are before yours")
        await expect(page.locator("#fc-chat .message-buttons-left").last).to_be_hidden()
        assert (await queue.claim(kitchen, "somebody")) is not None
        await expect(waiting).to_contain_text("One question is before yours")
        await page.click("#fc-box .stop-button")
        await expect(page.locator(".fc-note")).to_have_text("Stopped.")


async def test_doubt_shows_the_candidates_with_their_probabilities(
    kitchen: Database, browser: Browser
) -> None:
    engine = Scripted(
        pieces=[
            "Not sure: perhaps **Pho** (越南河粉), or Ramen (日式拉面) · Vietnamese · 6/10\n\nHm."
        ],
        names=(("Pho", 0.34), ("Ramen", 0.29), ("Miso soup", 0.12)),
    )
    async with serving(kitchen, engine) as url, tab(browser, url) as page:
        await send(page, "", dish(1))
        await quiet(page, 1)
        rows = page.locator(".fc-candidate")
        await expect(rows).to_have_count(3)
        await expect(rows.nth(1)).to_contain_text("Ramen")
        await expect(rows.nth(1)).to_contain_text("29%")
        width = await page.locator(".fc-bar i").first.evaluate(
            "i => i.offsetWidth / i.parentElement.offsetWidth"
        )
        assert width == pytest.approx(0.34, abs=0.02)


async def test_what_is_refused_is_said_in_plain_words(
    kitchen: Database, browser: Browser, tmp_path: Path
) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(photos.MAX_BYTES + 1)
    async with serving(kitchen, Scripted()) as url:
        async with tab(browser, url, locale="zh-CN") as page:
            await page.click(".fc-chip >> nth=0")
            await expect(page.locator(".toast-body")).to_contain_text("先发一张菜的照片")
            await page.set_input_files("#fc-box input[type=file]", huge)  # Gradio refuses it here
            await expect(page.locator(".toast-body").last).to_contain_text("文件超过 20 MB")
        async with tab(browser, url) as page:
            await send(page, "", b"no picture at all")
            await expect(page.locator(".toast-body")).to_contain_text("I cannot open this")


async def test_a_visitor_without_a_cookie_is_bounded_by_address(
    kitchen: Database, browser: Browser
) -> None:
    """A fresh browser is a new visitor, behind a proxy, too; not a new address."""
    behind = {"X-Forwarded-For": "203.0.113.9"}
    async with (
        serving(kitchen, Scripted(pieces=[RAMEN]), chat_jobs_per_minute=1) as url,
    ):
        async with tab(browser, url, extra_http_headers=behind) as page:
            await page.locator(".fc-sample").first.click()
            await quiet(page, 1)
        async with tab(browser, url, extra_http_headers=behind) as page:
            await page.locator(".fc-sample").first.click()
            await expect(page.locator(".toast-body")).to_contain_text("1 questions a minute")


async def test_language_conversation_and_look_can_be_changed(
    kitchen: Database, browser: Browser
) -> None:
    engine = Scripted(pieces=[RAMEN])
    async with serving(kitchen, engine) as url:
        async with tab(browser, url, locale="zh-CN") as page:
            await expect(page.locator("h1")).to_have_text("美食评论家")
            assert await page.evaluate("document.documentElement.lang") == "zh-Hans"
            await send(page, "", dish(1))
            await quiet(page, 1)
            for said in ("重试", "复制", "添加照片"):  # Gradio's own words, and what it lacks
                await expect(page.get_by_label(said, exact=True).last).to_be_visible()
            await page.click("#fc-language")
            await expect(page.locator("h1")).to_have_text("The Food Critic")
            await quiet(page, 1)  # the conversation came along
            for said in ("Retry", "Copy this", "Add photos"):  # whatever the browser's language
                await expect(page.get_by_label(said, exact=True).last).to_be_visible()
            await page.goto(url)  # and the choice is remembered
            await expect(page.locator("h1")).to_have_text("The Food Critic")
            await quiet(page, 1)
            dark = "document.body.classList.contains('dark')"
            assert not await page.evaluate(dark)
            await page.click("#fc-theme")
            await page.wait_for_function(dark)
            await page.reload()
            await page.wait_for_function(dark)
            await quiet(page, 1)
            await page.click("#fc-new")
            await expect(page.locator(ANSWERS)).to_have_count(0)
            await expect(page.locator("#fc-chat .fc-invite")).to_be_visible()
        async with tab(browser, url, viewport={"width": 390, "height": 844}) as page:
            fits = "document.documentElement.scrollWidth <= window.innerWidth"
            await page.wait_for_function(fits)  # nothing sticks out on a phone
            for part in ("#fc-box textarea", "#fc-language", "#fc-new"):
                await expect(page.locator(part)).to_be_in_viewport(ratio=1)
            await page.set_viewport_size({"width": 375, "height": 667})
            title, way = page.locator("h1"), page.locator("#fc-language")
            (above, beside) = [await part.bounding_box() for part in (title, way)]
            assert above is not None
            assert beside is not None
            assert beside["y"] < above["y"] + above["height"]  # one row
            await page.click(".fc-chip >> nth=0")
            toast = await page.locator(".toast-body").bounding_box()
            assert toast is not None
            assert toast["y"] > 500  # below the cards
            await page.locator(".fc-sample").first.click()
            await expect(page.locator(".fc-dish")).to_be_in_viewport(ratio=1)


async def test_two_tabs_show_one_conversation_and_a_deaf_one_rates_what_it_shows(
    kitchen: Database, browser: Browser
) -> None:
    """A thumb went by its place: to another answer, once another tab had started over."""
    async with serving(kitchen, Scripted(pieces=[RAMEN])) as url, tab(browser, url) as page:
        await send(page, "", dish(1))
        await quiet(page, 1)
        visitor = await visitor_of(kitchen)
        (first,) = await transcript.turns(kitchen, visitor)
        deaf, other = await page.context.new_page(), await page.context.new_page()
        await deaf.add_init_script("delete window.BroadcastChannel.prototype.onmessage")
        for each in (deaf, other):
            await each.goto(url)
            await quiet(each, 1)
        await page.click("#fc-new")
        await expect(other.locator("#fc-chat .fc-invite")).to_be_visible()
        await send(other, "", dish(2))
        await quiet(page, 1)
        (second,) = await transcript.turns(kitchen, visitor)
        await deaf.locator("#fc-chat button[aria-label='like' i]").click()
        async with asyncio.timeout(EYES / 1000):
            while True:
                rated = await feedback.ratings(kitchen, "web", visitor.id, [first.id, second.id])
                if rated:
                    break
                await asyncio.sleep(0.05)
        assert rated == {first.id: 1}
        await deaf.click("#fc-chat button[aria-label='Retry']")  # of what is over: it shows what is
        await expect(deaf.locator("#fc-chat .message-row img")).to_have_attribute(
            "src", re.compile(second.photos[0].sha256)
        )
        assert len(await transcript.turns(kitchen, visitor)) == 1


async def test_a_models_html_and_pictures_do_nothing(kitchen: Database, browser: Browser) -> None:
    """Neither a script nor a picture from elsewhere gets out of an answer or a question."""
    evil = (
        "<img src=http://evil.example/a.png onerror=window.evil=1>![x](http://evil.example/b.png)"
    )
    engine, seen = Scripted(pieces=[RAMEN, evil, "<script>window.evil=1</script>"]), Seen()
    async with (
        serving(kitchen, engine) as url,
        tab(browser, url, seen) as page,
    ):
        await send(page, evil, dish(1))
        await quiet(page, 1)
        await asyncio.sleep(0.3)
        assert await page.evaluate("window.evil") is None
        assert [address for address in seen.asked if "evil.example" in address] == []


@pytest.mark.skipif(not (nano.MODEL / "model.safetensors").exists(), reason="no bundled model yet")
async def test_the_bundled_model_judges_a_sample_and_answers_a_question(
    kitchen: Database, browser: Browser, tmp_path: Path
) -> None:
    """End to end with what is shipped. FOODCRITIC_SCREENSHOTS: a folder to keep a picture in."""
    engine = await asyncio.to_thread(openvino_engine.load, nano.MODEL, tmp_path / "models")
    async with serving(kitchen, engine) as url, tab(browser, url) as page:
        await page.locator(".fc-sample").first.click()
        await quiet(page, 1)
        await expect(page.locator(".fc-dish")).to_have_count(1)
        await send(page, "What does it taste like?")
        await quiet(page, 2)
        assert len(await page.locator(ANSWERS).nth(1).inner_text()) > 10
        if folder := os.environ.get("FOODCRITIC_SCREENSHOTS"):
            await page.set_viewport_size({"width": 1240, "height": 1140})
            await page.mouse.click(620, 110)  # nothing is pointed at or being typed into
            await page.screenshot(path=Path(folder) / "web.png")
            await page.emulate_media(color_scheme="dark")
            await page.set_viewport_size({"width": 390, "height": 844})
            await page.goto(f"{url}/zh/")
            await page.locator(".fc-sample").nth(1).click()
            await quiet(page, 3)
            await page.mouse.click(200, 100)
            await page.evaluate("scrollTo(0, 0)")
            await page.screenshot(path=Path(folder) / "web-phone.png")
    await engine.close()


# Gradio's Image opens each upload once more than it closes it; the collector does that at once.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io:pytest.PytestUnraisableExceptionWarning"
)
async def test_a_photo_becomes_a_meme_and_is_drawn_anew_without_a_model(
    kitchen: Database, browser: Browser
) -> None:
    engine = Scripted(pieces=["1. Monday in a bowl\n", "2. When the diet starts, tomorrow"])
    async with serving(kitchen, engine) as url, tab(browser, url) as page:
        await page.get_by_role("tab", name="Memes").click()
        picture = page.locator("#fc-meme-result img")
        await page.locator("#fc-meme-make").click()
        await expect(page.locator(".toast-body")).to_contain_text("Add a photo first.")
        await page.set_input_files(
            "#fc-meme-photo input[type=file]",
            [FilePayload(name="a.jpg", mimeType="image/jpeg", buffer=dish(1))],
        )
        await expect(page.locator("#fc-meme-photo img")).to_be_visible()
        await page.locator("#fc-meme-make").click()
        await expect(page.locator("#fc-meme-captions input")).to_have_count(2)
        for part in ("#fc-meme-captions label:not(.selected)", "#fc-meme-words input"):
            before = await picture.get_attribute("src")
            await page.locator(part).first.click()
            await expect(picture).not_to_have_attribute("src", before or "")
        assert len(engine.asked) == 1
        thumb = page.locator("#fc-meme-thumbs button")
        for choice in (0, 1):
            await thumb.nth(choice).click()
            await expect(thumb.nth(choice)).to_contain_class("primary")
            await expect(page.locator("#fc-meme-thumbs .primary")).to_have_count(1)
        await expect(page.locator("#fc-consent")).to_be_visible()
        visitor = await visitor_of(kitchen)
        async with kitchen.read() as session:
            (job,) = await session.scalars(sa.select(tables.Job.id))
        assert await feedback.ratings(kitchen, "web", visitor.id, [job]) == {job: -1}
