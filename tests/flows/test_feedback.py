"""Rating answers and saying what was wrong with them, in private and in groups."""

from pathlib import Path

from foodcritic import corrections, feedback, people
from foodcritic.columns import ReviewStatus
from foodcritic.db import Database
from foodcritic.jobs import Job
from tests.botapi.script import Person, Seen
from tests.botbench import Asked, Model, Place, opened, picture, restaurant

STALE = "This button no longer works."
NOT_YOURS = "Only the person who asked can do that."


def unsure(asked: Asked) -> str:
    return (
        "Not sure: perhaps **Ramen** (日式拉面), or Pho (越南河粉) or Laksa (叻沙)"
        " · Japanese · 6/10\n\nA rich broth."
    )


async def answer(person: Person) -> Seen:
    person.sends_photo(picture())
    return await person.sees_button("Try again")


async def objects(person: Person, seen: Seen) -> Seen:
    """They tap the pencil; the question they are asked."""
    await person.taps("✏️", seen)
    return await person.sees("What is it really?")


async def only(place: Place) -> Job:
    await place.settled()
    (job,) = await place.jobs()
    return job


async def rating(db: Database, person: Person, job: Job) -> int | None:
    return (await feedback.ratings(db, "telegram", person.id, [job.id])).get(job.id)


async def shows(person: Person, seen: Seen, labels: list[str]) -> None:
    def shown() -> bool:
        return Seen(person.chat, person.chat.messages[seen.id]).buttons[:3] == labels

    await person.world.until(shown, f"the votes are not {labels}")


async def test_a_thumb_counts_a_second_replaces_it_and_the_same_again_takes_it_back(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        seen = await answer(ann)
        assert seen.buttons[:3] == ["👍", "👎", "✏️"]
        job = await only(place)
        await people.set_user(place.db, "telegram", ann.id, consent=False)
        for tap, expected, shown in (
            ("👎", -1, ["👍", "👎 1", "✏️"]),
            ("👍", 1, ["👍 1", "👎", "✏️"]),
            ("👍", None, ["👍", "👎", "✏️"]),
        ):
            await ann.taps(tap, seen)
            assert await rating(place.db, ann, job) == expected
            await shows(ann, seen, shown)


async def test_a_repeated_tap_is_the_same_vote(tmp_path: Path) -> None:
    """After a crash an update comes again: it must not take back what it said."""
    async with restaurant(tmp_path) as place:
        await people.set_user(place.db, "telegram", 1, consent=False)
        job_id = 0
        ann = place.person("Ann")
        await answer(ann)
        job_id = (await only(place)).id
        for update, expected in ((5, 1), (5, 1), (4, 1), (6, 0), (6, 0), (7, 1)):
            assert await feedback.toggle(place.db, job_id, "telegram", 1, 1, update) == expected


async def test_a_reaction_is_a_rating_and_taking_it_away_takes_back_only_its_own(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        seen = await answer(ann)
        job = await only(place)

        async def reacts(before: str | None, after: str | None, expected: int | None) -> None:
            content = {
                "chat": ann.chat.info,
                "message_id": seen.id,
                "user": ann.user,
                "date": int(place.tg.world.clock()),
                "old_reaction": [{"type": "emoji", "emoji": before}] if before else [],
                "new_reaction": [{"type": "emoji", "emoji": after}] if after else [],
            }
            place.tg.world.post("message_reaction", content)
            for _ in range(100):
                if await rating(place.db, ann, job) == expected:
                    break
                await place.settled()
            assert await rating(place.db, ann, job) == expected

        await reacts(None, "🔥", 1)
        await reacts("🔥", "👎", -1)
        await reacts("👎", "🌭", None)
        await people.set_user(place.db, "telegram", ann.id, consent=False)
        await ann.taps("👍", seen)
        ann.reacts(seen.id, "🌭")
        ann.reacts(seen.id, None)
        await ann.taps("👎", seen)
        assert await rating(place.db, ann, job) == -1


async def test_a_candidate_of_the_answer_is_the_right_dish_and_can_be_undone(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path, model=Model(answer=unsure)) as place:
        ann = place.person("Ann")
        seen = await answer(ann)
        job = await only(place)
        asked = await objects(ann, seen)
        assert asked.buttons[:3] == ["Pho", "Laksa", "🍽 No dish at all"]
        await ann.taps("Laksa", asked)
        noted = await ann.sees("Noted: Laksa.")
        assert noted.id == asked.id
        (said,) = await corrections.pending(place.db)
        assert (said.dish, said.text, said.job_id, said.model) == ("Laksa", None, job.id, job.model)
        assert (said.user_id, said.lang, said.status) == (ann.id, "en", ReviewStatus.PENDING)
        await ann.taps("↩️ Undo", noted)
        await ann.sees("Taken back.")
        assert await corrections.pending(place.db) == ()
        assert await ann.presses(noted.message, f"undo:{said.id}") == STALE


async def test_a_name_and_a_better_text_are_typed_as_replies_and_may_be_edited(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        seen = await answer(ann)
        await ann.taps("✏️", seen)
        await ann.taps("Another dish")
        asked = await ann.sees("with the name of the dish")
        sent = place.tg.world.made("sendMessage")[-1]
        assert sent.params["reply_markup"]["force_reply"]
        reply = ann.says("Biang biang nodles", reply_to=asked.id)
        await ann.sees("Noted: Biang biang nodles.")
        ann.edits(reply, "Biang biang noodles")
        await ann.sees("Noted: Biang biang noodles.")
        await ann.taps("✏️", seen)
        await ann.taps("A better answer")
        asked = await ann.sees("the answer you would have given")
        ann.says("宽面，油泼辣子很香。", reply_to=asked.id)
        noted = await ann.sees("Noted, a better answer: “宽面，油泼辣子很香。”")
        assert "Noted: Biang biang noodles." in noted.text
        (said,) = await corrections.pending(place.db)
        assert (said.dish, said.text) == ("Biang biang noodles", "宽面，油泼辣子很香。")
        assert said.lang == "zh"
        assert len(await place.jobs()) == 1


async def test_what_is_too_long_or_no_reply_changes_nothing(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        asked = await objects(ann, await answer(ann))
        ann.says("x" * 61, reply_to=asked.id)
        await ann.sees("60 characters are the most")
        ann.says("Is it spicy?")
        await ann.sees_button("Try again")
        await ann.taps("✖️ Never mind", asked)
        await place.settled()
        assert asked.id not in ann.chat.messages
        assert await corrections.pending(place.db) == ()
        assert len(await place.jobs()) == 2


async def test_the_dialogue_survives_a_restart_and_deleted_messages(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        asked = await objects(ann, seen := await answer(ann))
        await place.stop()
        async with opened(place):
            del ann.chat.messages[seen.id]
            ann.says("Udon", reply_to=asked.id)
            noted = await ann.sees("Noted: Udon.")
            (said,) = await corrections.pending(place.db)
            del ann.chat.messages[noted.id]
            await ann.presses(noted.message, f"undo:{said.id}")
            await ann.sees("Taken back.")
            assert await corrections.pending(place.db) == ()


async def test_in_a_group_anybody_rates_and_corrects_but_only_their_own(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=unsure)) as place:
        group = place.tg.group()
        ann, bob = (group.member(place.person(name)) for name in ("Ann", "Bob"))
        ann.sends_photo(picture(), caption="@foodcritic_bot")
        seen = await ann.sees_button("Try again")
        job = await only(place)
        await ann.taps("👍", seen)
        await bob.taps("👍", seen)
        assert await feedback.tally(place.db, job.id) == (2, 0)
        await bob.taps("✏️", seen)
        asked = await bob.sees("Bob: ✏️ What is it really?")
        assert await ann.taps("Pho", asked) == NOT_YOURS
        ann.says("Lasagne", reply_to=asked.id)
        await bob.taps("Pho", asked)
        noted = await bob.sees("Noted: Pho.")
        assert await ann.taps("Undo", noted) == NOT_YOURS
        assert await ann.taps("Yes, learn", noted) == NOT_YOURS
        await place.settled()
        (said,) = await corrections.pending(place.db)
        assert (said.user_id, said.dish) == (bob.id, "Pho")
        assert (await people.user(place.db, "telegram", bob.id)).consent is None
        await bob.taps("Yes, learn", noted)
        assert (await people.user(place.db, "telegram", bob.id)).consent is True
        changed = await bob.sees("I may learn from you")
        assert "Noted: Pho." in changed.text
        assert changed.buttons == ["↩️ Undo"]


async def test_consent_is_asked_once_in_plain_words(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann, bob = place.person("Ann"), place.person("Bob")
        seen = await answer(ann)
        await ann.taps("👍", seen)
        question = await ann.sees("May I learn from you?")
        assert question.buttons == ["✅ Yes, learn from me", "🚫 No"]
        await ann.taps("👎", seen)
        await ann.taps("✏️", seen)
        await ann.taps("No dish at all")
        noted = await ann.sees("Noted: 🍽 No dish at all.")
        assert "May I learn" not in noted.text
        await ann.taps("🚫 No", question)
        await ann.sees("I learn nothing from you")
        known = await people.user(place.db, "telegram", ann.id)
        assert (known.consent, known.consented is not None) == (False, True)
        other = await answer(bob)
        await bob.taps("✏️", other)
        await bob.taps("No dish at all")
        await bob.sees("May I learn from you?")
        (first, second) = await corrections.pending(place.db)
        assert {first.dish, second.dish} == {"no dish"}


async def test_forged_taps_do_nothing(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=unsure)) as place:
        ann, eve = place.person("Ann"), place.person("Eve")
        seen = await answer(ann)
        job = await only(place)
        asked = await objects(ann, seen)
        eve.says("/help")
        hers = await eve.sees("/new – start over")
        for data in (
            f"up:{job.id}", f"down:{job.id}", f"fix:{job.id}", "dish:1:0", "none:1", "name:1",
            "text:1", "leave:1", "undo:1", "up:0", "up:99", "up:" + "9" * 30, "up:1:1", "dish:1:99",
            "dish:1", "fix:", "agree:1", f"agree:{ann.id}:maybe", f"own:{ann.id}:wipe",
        ):  # fmt: skip
            assert await eve.presses(hers.message, data) == STALE, data
        assert await ann.presses(asked.message, "dish:1:9") == STALE
        for data in (f"agree:{ann.id}:yes", f"own:{ann.id}:yes", f"drop:{ann.id}:yes"):
            assert await eve.presses(hers.message, data) == NOT_YOURS, data
        for data in (f"drop:{eve.id}:yes", f"own:{eve.id}:forget"):
            assert await eve.presses(seen.message, data) == STALE, data  # another's chat
        await place.settled()
        assert await feedback.tally(place.db, job.id) == (0, 0)
        assert await corrections.pending(place.db) == ()
        assert (await people.user(place.db, "telegram", ann.id)).consent is None


async def test_what_failed_has_nothing_to_be_rated(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(broken=True)) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture())
        seen = await ann.sees_button("Try again")
        assert seen.buttons == ["🔁 Try again"]
        job = await only(place)
        for action in ("up", "fix"):
            assert await ann.presses(seen.message, f"{action}:{job.id}") == STALE
