"""Administrators train, watch, cancel, promote and roll back from their private chat."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import bench_swap
from bot.admin.reasons import said
from bot.texts import Lang
from engine import swap
from foodcritic import audit, registry, runs
from foodcritic.columns import ModelStatus, RunStatus
from foodcritic.db import Database
from foodcritic.runs import Run, Step
from tests.botapi.script import Person
from tests.botbench import Model, Place, picture, restaurant
from training import gate

#: The first person of a place has this id.
BOSS = 101


async def asked(place: Place, boss: Person) -> Run:
    boss.says("/retrain")
    question = await boss.sees("Train a better model now? 0 corrections to learn from")
    assert "recipe nano-corrections" in question.text
    await boss.taps("🏋️ Train")
    await boss.sees("Run 1 was asked for")
    run = await runs.claim(place.db, "trainer")
    assert run is not None
    return run


async def steps(db: Database, run: Run, count: int) -> None:
    figures = {"iterations": 200, "seconds_left": 125.0}
    made = [Step(step=10 * n, loss=3.0 / n, metrics=figures) for n in range(1, count + 1)]
    await runs.step(db, run, made)


async def paused(db: Database) -> bool:
    async with db.read() as session:
        return await registry.away(session, db) == "learning"


def pairs(count: int, live: float, candidate: float) -> tuple[gate.Pair, ...]:
    return tuple(gate.Pair(name=str(n), live=live, candidate=candidate) for n in range(count))


def pictures(person: Person) -> list[int]:
    """The messages of the bot that are pictures, as people see them now."""
    return [m["message_id"] for m in person.world.by_bot(person.chat.id) if m.get("photo")]


async def test_one_message_tells_how_a_run_goes_and_every_admin_hears_how_it_ends(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path, admins=(BOSS, BOSS + 1)) as place:
        boss, second = place.person("Boss"), place.person("Second")
        second.says("/start")  # Telegram lets a bot write to whom has written to it
        db = place.db
        run = await asked(place, boss)
        run = await runs.renew(db, run, "dataset", path="runs/1")
        await boss.sees("Run 1: gathering what people said")
        run = await runs.renew(db, run, "train")
        await steps(db, run, 1)
        await boss.sees("step 10 of 200, loss 3.000, 0:02:05 left")
        await steps(db, run, 4)
        seen = await boss.sees("step 40 of 200, loss 0.750")
        assert pictures(boss) == [seen.id], "one message, edited"
        assert seen.buttons == ["✖️ Cancel the run"]
        report = place.settings.home / "runs" / "1"
        report.mkdir(parents=True)
        Image.new("RGB", (300, 400), "white").save(report / "report.png")
        verdict = {"version": "critic-1", "passed": True, "summary": "better on 20"}
        run = await runs.renew(db, run, metrics={"verdict": verdict})
        await runs.finish(db, run, RunStatus.SUCCEEDED)
        for admin in (boss, second):
            told = await admin.sees("Run 1: critic-1 serves now. better on 20")
            assert not told.buttons
        await place.settled()
        assert len(pictures(boss)) == 2, "the curve, and the answers side by side"
        assert len(pictures(second)) == 1
        (entry,) = await audit.latest(db)
        assert (entry.actor, entry.action, entry.subject) == (f"telegram:{BOSS}", "retrain", "1")


async def test_a_run_under_way_is_shown_and_can_be_cancelled(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        run = await asked(place, boss)
        run = await runs.renew(place.db, run, "train")
        boss.says("/retrain")
        seen = await boss.sees("Run 1 is not finished yet: 🏋️ Run 1 is training.")
        assert "stopped" in await boss.taps("✖️ Cancel the run", seen)
        assert (await runs.get(place.db, run.id)).cancelling
        await runs.finish(place.db, run, RunStatus.CANCELLED)
        await boss.sees("Run 1 was cancelled, nothing changes")


async def test_people_are_told_that_answers_wait_for_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def again() -> Model:
        return model

    model = Model(exclusive=True)
    monkeypatch.setattr(swap, "loader", lambda *_: again)
    async with restaurant(tmp_path, admins=(BOSS,), model=model) as place:
        boss, ann, li = place.person("Boss"), place.person("Ann"), place.person("李", "zh")
        run = await runs.renew(place.db, await asked(place, boss), "prepare")
        while not await paused(place.db):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        ann.sends_photo(picture(1))
        seen = await ann.sees("I am learning from people's corrections right now.")
        assert seen.text.endswith("is kept.")
        run = await runs.renew(place.db, run, "train")
        await steps(place.db, run, 1)
        seen = await ann.sees("kept. About 3 minutes of training are left, then an exam.")
        assert seen.buttons == ["⏹ Stop"]
        li.sends_photo(picture(2))
        seen = await li.sees("学完就回答你")
        assert seen.text.endswith("训练大约还要 3 分钟，之后是考试。前面还有 1 个问题。")
        await runs.finish(place.db, run, RunStatus.SUCCEEDED)
        await ann.sees_button("Try again")
        assert "日式拉面（Ramen）" in (await li.sees_button("再试一次")).text


async def test_not_now_asks_for_nothing_and_a_second_tap_for_nothing_more(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        boss.says("/retrain")
        question = await boss.sees("Train a better model now?")
        await boss.taps("Not now", question)
        await boss.sees("no training now")
        assert await runs.unfinished(place.db) is None
        for _ in range(2):
            await boss.presses(question.message, "admin:retrain:go:1")
        await boss.sees("Run 1 is not finished yet")
        assert len(await runs.listing(place.db)) == 1


async def test_a_failed_run_says_why(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        run = await asked(place, boss)
        await runs.finish(place.db, run, RunStatus.FAILED, error="no room on the disk: make some")
        await boss.sees("Run 1 failed, nothing changes. no room on the disk: make some")


async def test_a_failure_is_a_message_of_its_own_which_calls_the_admin(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        run = await asked(place, boss)
        run = await runs.renew(place.db, run, "train")
        curve = await boss.sees("Run 1 is training")
        await runs.finish(place.db, run, RunStatus.FAILED, error="the GPU fell off")

        def called() -> bool:
            said = (m for m in boss.world.by_bot(boss.chat.id) if m["message_id"] > curve.id)
            return ["the GPU fell off" in m["text"] for m in said] == [True]

        await boss.world.until(called, "a message of its own")


async def test_a_verdict_is_told_in_the_language_of_the_admin(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, db = place.person("Boss", language="zh"), place.db
        boss.says("/retrain")
        await boss.sees("现在训练更好的模型？")
        await boss.taps("🏋️ 开始训练")
        await boss.sees("已安排第 1 次训练")
        run = await runs.claim(db, "trainer")
        assert run is not None
        few = gate.judge(gate.Measured(corrections=(gate.Pair(name="a", live=0.0, candidate=1.0),)))
        made = await registry.add(
            db, name="one", path=place.settings.models / "one", base="nano", sha256="0" * 64
        )
        await registry.report(db, made, few.to_json(), rejected=True)
        reasons = [asdict(reason) for reason in few.decisive]
        verdict = {"version": "one", "passed": False, "summary": few.summary, "reasons": reasons}
        run = await runs.renew(db, run, metrics={"verdict": verdict})
        await runs.finish(db, run, RunStatus.SUCCEEDED)
        little = "证据不足：留作考卷的纠正照片只有 1 张，至少要 20 张"
        await boss.sees(f"第 1 次训练：one 不够好，一切照旧。{little}")
        boss.says("/models")
        await boss.sees(little)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    "measured",
    [
        gate.Measured(corrections=pairs(20, 0.0, 1.0), naming=pairs(20, 1.0, 0.0)),
        gate.Measured(corrections=pairs(20, 1.0, 0.0), foodieqa=pairs(1, 1.0, 1.0)),
        gate.Measured(
            corrections=pairs(1, 0.0, 1.0),
            checks=pairs(20, 1.0, 1.0),
            latency=gate.Latency(first_token=(0.1, 0.2), each_token=(0.01, 0.01)),
        ),
        gate.Measured(
            corrections=pairs(20, 0.0, 1.0),
            latency=gate.Latency(first_token=(0.1, 0.1), each_token=(0.01, 0.01)),
        ),
    ],
)
def test_every_reason_can_be_said(measured: gate.Measured, lang: Lang) -> None:
    for reason in gate.judge(measured).to_json()["reasons"]:
        told = said(lang, json.loads(json.dumps(reason)))
        assert not set("{}") & set(told), told
        if lang == "en":
            assert told.replace("first word", "first token").replace(
                "form and refusals", "checks"
            ).replace("FoodieQA", "foodieqa") == reason["text"]  # fmt: skip


async def test_models_are_listed_promoted_and_rolled_back(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, db = place.person("Boss"), place.db
        boss.says("/models")
        await boss.sees("Serving: nano\nThere are no trained versions yet")
        for name in ("gone", "one", "two"):
            folder = place.settings.models / name
            made = await registry.add(db, name=name, path=folder, base="nano", sha256="0" * 64)
            folder.mkdir(parents=True)
        (place.settings.models / "gone").rmdir()
        gate = {"passed": False, "reasons": [{"ok": False, "text": "not enough evidence"}]}
        await registry.report(db, made, gate, rejected=True)
        boss.says("/models")
        seen = await boss.sees("• two: rejected. not enough evidence\n• one: candidate.")
        assert "• gone: candidate, files deleted." in seen.text
        assert seen.buttons == ["⬆️ two", "⬆️ one"]
        assert "one is live" in await boss.taps("⬆️ one", seen)
        listed = await boss.sees("Serving: one")
        assert listed.id == seen.id
        assert listed.buttons == ["⬆️ two", "↩️ Roll back"]
        stale = dict(listed.message)
        assert "nano is live again" in await boss.taps("↩️ Roll back", listed)
        await boss.sees("• one: rejected. rolled back by telegram:101")
        assert await registry.live(db) is None
        again = await boss.presses(stale, f"admin:models:rollback:{made.id}")
        assert "cannot be done" in again
        assert [e.action for e in await audit.latest(db)] == ["rollback", "promote"]
        assert (await registry.find(db, "one")).status is ModelStatus.REJECTED
        of = "OpenGVLab/InternVL2-2B"
        await registry.add(db, name="three", path=folder, base=of, sha256="0" * 64)
        boss.says("/models")
        seen = await boss.sees("• three: candidate, of InternVL2-2B.")
        assert "⬆️ three" not in seen.buttons


@pytest.mark.long
async def test_a_rollback_under_load_takes_seconds_and_loses_no_photo(tmp_path: Path) -> None:
    """Real nano, real bot; `python -m benchmarks.bench_swap` says how long on an idle machine."""
    found = await bench_swap.measure(people=1, every=2.0, home=tmp_path)
    assert found["answered"] == found["attempts"] == found["photos"], "once, and at once"
    assert found["models"]["nano"] + found["models"][bench_swap.NAME] == found["photos"]
    assert found["rollback_seconds"]["answers"] < 60
    assert found["promote_seconds"]["answers"] < 60
