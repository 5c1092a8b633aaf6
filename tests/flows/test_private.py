"""One person and the bot, in private."""

import asyncio
import itertools
from pathlib import Path

import pytest

from bot import app
from bot.courier import Courier
from foodcritic.columns import JobStatus
from tests.botapi.script import Person
from tests.botbench import Model, opened, picture, restaurant


def says(person: Person) -> list[str]:
    """What the bot's messages say that came since the person's last action."""
    return [seen.text for seen in person.visible()]


@pytest.mark.parametrize(
    ("lang", "hello", "again", "critique"),
    [
        (
            *("en", "I am a food critic", "Try again"),
            "Ramen (日式拉面) · Japanese · 8/10\n\nA rich broth.",
        ),
        (
            *("zh-hans", "我是美食评论家", "再试一次"),
            "日式拉面（Ramen）· 日本料理 · 8/10\n\n汤头浓郁。",
        ),
    ],
)
async def test_a_photo_gets_one_complete_critique(
    tmp_path: Path, lang: str, hello: str, again: str, critique: str
) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann", lang)
        ann.says("/start")
        await ann.sees(hello)
        ann.sends_photo(picture())
        answer = await ann.sees_button(again)
        assert answer.text == critique
        assert [e["type"] for e in answer.message["entities"]] == ["bold"]
        await place.settled()
        assert says(ann) == [critique]


async def test_a_question_can_come_with_the_photo_and_more_follow(tmp_path: Path) -> None:
    model = Model(answer=lambda asked: f"About {asked.question or 'the dish'}.")
    async with restaurant(tmp_path, model=model) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture(), caption="Is it spicy?")
        await ann.sees("About Is it spicy?.")
        ann.says("And healthy?")
        await ann.sees("About And healthy?.")
        await place.settled()
        first, second = await place.jobs()
        assert (len(first.photos), len(second.photos)) == (1, 0)
        assert first.dialogue_id == second.dialogue_id
        ann.sends_photo(picture(2))
        await ann.sees("About the dish.")
        assert (await place.jobs())[2].dialogue_id != first.dialogue_id


async def test_text_before_any_photo_and_after_new_asks_for_one(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        ann.says("Is it healthy?")
        await ann.sees("Send me a photo of a dish first")
        ann.sends_photo(picture())
        await ann.sees_button("Try again")
        ann.says("/new")
        await ann.sees("A fresh start")
        ann.says("Is it healthy?")
        await ann.sees("Send me a photo of a dish first")
        assert len(await place.jobs()) == 1


async def test_an_album_is_one_question_with_its_caption(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        ann.sends_album([picture(n) for n in range(10)], caption="Which is best?")
        ann.says("And which is worst?")
        await place.tg.world.until(lambda: len(place.model.seen) == 2, "two jobs")
        await place.settled()
        album, follow_up = await place.jobs()
        assert (len(album.photos), album.question) == (10, "Which is best?")
        assert follow_up.question == "And which is worst?"
        assert follow_up.dialogue_id == album.dialogue_id


async def test_a_picture_sent_as_a_file_is_a_photo_and_so_is_a_heic(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        ann.sends_document(picture(1, kind="PNG"), "dinner.png")
        await ann.sees_button("Try again")
        ann.sends_document(picture(2, kind="HEIF"), "IMG_1.HEIC", mime="application/octet-stream")
        await ann.sees_button("Try again")
        assert [job.photos[0].path.suffix for job in await place.jobs()] == [".png", ".heic"]


async def test_what_is_no_photo_gets_a_clear_answer(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        for send, expected in (
            (ann.sends_sticker, "only judge food"),
            (ann.sends_voice, "cannot listen"),
            (ann.sends_video, "cannot watch"),
            (lambda: ann.sends_document(b"%PDF", "menu.pdf"), "only read pictures"),
            (lambda: ann.sends_document(b"no image", "x.jpg"), "cannot open this as a picture"),
            (lambda: ann.sends_document(picture()[:3000], "y.jpg"), "cut off"),
            (lambda: ann.sends(location={"latitude": 1, "longitude": 2}), "cannot use that"),
            (lambda: ann.sends_photo(picture(), caption="x" * 1001), "long question"),
        ):
            send()
            await ann.sees(expected)
        assert await place.jobs() == []


@pytest.mark.parametrize(
    ("language", "said", "listed"),
    [
        ("en", "I know no such command.", "/new – start over"),
        ("zh-hans", "没有这个命令。", "/new – 重新开始"),
    ],
)
async def test_an_unknown_command_is_called_that_and_the_known_ones_are_listed(
    tmp_path: Path, language: str, said: str, listed: str
) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann", language)
        ann.says("/hepl")
        answer = (await ann.sees(said)).text
        assert listed in answer
        ann.says("/help")
        whole = (await ann.sees(listed)).text
        assert answer.split("\n\n")[-1] in whole
        assert len(answer) < len(whole) / 1.5


async def test_a_file_too_large_is_refused_without_fetching_it(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        ann.sends_document(b"\xff" * (20 * 2**20 + 1), "huge.jpg")
        await ann.sees("larger than 20 MB")
        assert not place.tg.world.made("getFile")


async def test_the_language_is_chosen_once_and_stays(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann", "en")
        ann.says("/language")
        await ann.taps("中文")
        await ann.sees("我说中文")
        ann.says("/help")
        await ann.sees("重新开始")
        ann.sends_photo(picture())
        assert "日式拉面（Ramen）" in (await ann.sees_button("再试一次")).text


async def test_waiting_people_see_their_place_in_the_queue(tmp_path: Path) -> None:
    model = Model()
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        people = [place.person(name) for name in ("Ann", "Bob", "Cem", "Dan")]
        for number, person in enumerate(people):
            person.sends_photo(picture(number))
            expected = ("Looking", "You are next", "One question is", "2 questions are")[number]
            await person.sees(expected)
        model.open.set()
        for person in people:
            await person.sees("Ramen")


async def test_a_growing_answer_is_streamed_as_a_draft_and_then_sent_whole(tmp_path: Path) -> None:
    model = Model(
        answer=lambda asked: "**Ramen** is " + "very " * 40 + "good.", pieces=20, pause=0.05
    )
    async with restaurant(tmp_path, model=model) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture())
        assert "**" not in await ann.sees_draft("Ramen is very")
        await ann.sees_button("Try again")
        await place.settled()
        assert says(ann) == ["Ramen is " + "very " * 40 + "good."]
        drafts = ann.chat.drafts
        assert len(drafts) >= 2
        assert all(later.startswith(earlier[:-1]) for earlier, later in itertools.pairwise(drafts))
        assert ann.chat.draft is None
        assert ann.chat.actions == ["typing"]


async def test_where_drafts_are_refused_the_status_message_grows(tmp_path: Path) -> None:
    model = Model(answer=lambda asked: "It is " + "very " * 40 + "good.", pieces=20, pause=0.05)
    async with restaurant(tmp_path, model=model) as place:
        place.tg.world.refuses_drafts = True
        ann = place.person("Ann")
        ann.sends_photo(picture())
        growing = await ann.sees("It is very")
        assert growing.buttons == ["⏹ Stop"]
        final = await ann.sees_button("Try again")
        assert final.id == growing.id
        await place.settled()
        assert says(ann) == ["It is " + "very " * 40 + "good."]


@pytest.mark.parametrize("under_draft", [False, True])
async def test_stop_ends_the_answer_with_what_there_is(tmp_path: Path, under_draft: bool) -> None:
    model = Model(answer=lambda asked: "so " * 400, pieces=200, pause=0.05)
    async with restaurant(tmp_path, model=model) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture())
        await ann.sees_draft("so")
        if under_draft:
            ann.stops_draft()
        else:
            assert await ann.taps("⏹ Stop") == "Stopping…"
        stopped = await ann.sees("⏹ Stopped.")
        assert stopped.text.startswith("so so")
        await place.settled()
        assert (await place.jobs())[0].status is JobStatus.CANCELLED
        assert [m.id for m in ann.visible()] == [stopped.id]


async def test_stop_while_waiting_takes_the_question_out_of_the_queue(tmp_path: Path) -> None:
    model = Model()
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        ann, bob = place.person("Ann"), place.person("Bob")
        bob.sends_photo(picture(1))
        await bob.sees("Looking")
        ann.sends_photo(picture())
        await ann.sees("You are next")
        assert await ann.taps("⏹ Stop") == "Stopping…"
        await ann.sees("⏹ Stopped.")
        model.open.set()
        await place.settled()
        assert len(model.seen) == 1


async def test_try_again_answers_once_more_and_only_once(tmp_path: Path) -> None:
    counter = iter(range(10))
    model = Model(answer=lambda asked: f"Answer {next(counter)}.")
    async with restaurant(tmp_path, model=model) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture(), caption="What is it?")
        first = await ann.sees("Answer 0.")
        assert await ann.taps("Try again", first) == "Once more…"
        await ann.sees("Answer 1.")
        await place.settled()
        assert await ann.taps("Try again", first) == "This button no longer works."
        jobs = await place.jobs()
        assert [job.question for job in jobs] == ["What is it?"] * 2
        assert jobs[0].photos == jobs[1].photos


@pytest.mark.parametrize("waits", [True, False])
async def test_an_edited_question_replaces_the_one_without_an_answer(
    tmp_path: Path, waits: bool
) -> None:
    model = Model(answer=lambda asked: f"About {asked.question}.")
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        ann, bob = place.person("Ann"), place.person("Bob")
        if waits:
            bob.sends_photo(picture(1))
            await bob.sees("Looking")
        message = ann.sends_photo(picture(), caption="Is it old?")
        await ann.sees("You are next" if waits else "Looking")
        ann.edits(message, "Is it cold?")
        await place.tg.world.until(lambda: len(place.tg.world.made("deleteMessage")) == 1, "gone")
        model.open.set()
        await ann.sees("About Is it cold?.")
        await place.settled()
        assert says(ann) == ["About Is it cold?."]
        assert model.seen[-1].question == "Is it cold?"
        ann.edits(message, "Is it gold?")
        await ann.sees_nothing()


async def test_a_very_long_answer_arrives_whole_and_in_order(tmp_path: Path) -> None:
    long = "\n\n".join(f"**第{n}段** " + "好吃🍜" * 150 for n in range(30))
    async with restaurant(tmp_path, model=Model(answer=lambda asked: long)) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture())
        await ann.sees_button("Try again")
        await place.settled()
        parts = says(ann)
        assert len(parts) == 5
        assert "\n\n".join(parts) == long.replace("**", "")
        assert [bool(m.buttons) for m in ann.visible()] == [False] * 4 + [True]


async def test_an_answer_to_a_deleted_question_still_comes(tmp_path: Path) -> None:
    model = Model()
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        ann = place.person("Ann")
        message = ann.sends_photo(picture())
        ann.deletes(message)
        await ann.sees("Looking")
        model.open.set()
        await ann.sees("Ramen")


async def test_a_deleted_status_message_is_replaced_by_the_answer(tmp_path: Path) -> None:
    model = Model()
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        ann = place.person("Ann")
        ann.sends_photo(picture())
        status = await ann.sees("Looking")
        await asyncio.sleep(0.1)
        del ann.chat.messages[status.id]
        model.open.set()
        await ann.sees_button("Try again")
        await place.settled()
        assert len(says(ann)) == 1


async def test_who_blocks_the_bot_costs_nothing_and_is_welcome_back(tmp_path: Path) -> None:
    model = Model()
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        ann = place.person("Ann")
        ann.sends_photo(picture())
        await ann.sees("Looking")
        ann.blocks_bot()
        model.open.set()
        await place.settled()
        assert "blocked" in (await place.jobs())[0].delivery["undeliverable"]
        ann.unblocks_bot()
        ann.sends_photo(picture(1))
        await ann.sees("Ramen")


async def test_a_full_queue_says_until_when(tmp_path: Path) -> None:
    model = Model()
    async with restaurant(tmp_path, model=model, queue_per_user=2) as place:
        model.open.clear()
        ann = place.person("Ann")
        for n in range(3):
            ann.sends_photo(picture(n))
        await ann.sees("2 questions waiting already")
        assert len(await place.jobs()) == 2


async def test_buttons_trust_nobody(tmp_path: Path) -> None:
    model = Model(pause=0.3)
    async with restaurant(tmp_path, model=model) as place:
        ann, eve = place.person("Ann"), place.person("Eve")
        ann.sends_photo(picture())
        status = await ann.sees("Looking")
        eve.says("/help")
        other = await eve.sees("/new – start over")
        for data in ("stop:1", "again:1"):
            assert await eve.presses(other.message, data) == "This button no longer works."
        # A forged message of Ann's chat, pressed by Eve.
        assert (
            await eve.presses(status.message, "stop:1") == "Only the person who asked can do that."
        )
        for data in (
            "stop:99999",
            "stop:-1",
            "stop:" + "9" * 40,
            "boom",
            "",
            "lang:xx",
            "stop:1;--",
        ):
            await eve.presses(other.message, data)
        await ann.sees("Ramen")


async def test_the_same_update_twice_makes_one_job(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        message = ann.sends_photo(picture())
        place.tg.world.post("message", message)
        await ann.sees_button("Try again")
        await place.settled()
        assert len(await place.jobs()) == 1
        assert len(says(ann)) == 1


async def test_a_job_that_fails_is_apologised_for(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(broken=True)) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture())
        await ann.sees("That is my fault")
        assert (await ann.sees_button("Try again")).text.startswith("😔")
        await place.settled()
        assert len(ann.visible()) == 1


async def test_an_edit_that_was_cut_off_half_way_is_asked_by_the_next_bot(tmp_path: Path) -> None:
    """It died between taking the old question back and asking the new one."""
    model = Model(answer=lambda asked: f"About {asked.question}.")
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        ann = place.person("Ann")
        message = ann.sends_photo(picture(), caption="Is it old?")
        await place.tg.world.until(lambda: model.seen, "the first question")
        await place.stop()
        courier = Courier(place.db, app.make_bot(place.settings, app.Pace()), "another")
        await courier.supersede((await place.jobs())[0])
        ann.edits(message, "Is it new?")
        model.open.set()
        async with opened(place):
            await ann.sees("About Is it new?")
            await place.settled()
            assert [text for text in says(ann) if "old" in text or "topped" in text] == []
