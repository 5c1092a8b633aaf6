"""The budget: never above Telegram's limits, one chat's flood is its own, urgent calls first."""

import asyncio
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from telegram.error import BadRequest, NetworkError, RetryAfter, TimedOut

from bot.budget import Budget, Dropped, Limits
from bot.gate import IDLE, Gate, Limit, Priority
from bot.ledger import KEPT, LATE, NAME, Ledger

HANG = 60.0  #: seconds after which a call waits for ever
FAST = Limits().scaled(0.02)  # a group's minute lasts 1.2 s


class Wire:
    """What Telegram would see: when each call began and ended; answers what it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, Any]] = []
        self.errors: list[Exception] = []

    async def __call__(self, name: Any = None) -> str:
        await asyncio.sleep(0.001)
        self.seen.append((time.monotonic(), name))
        if self.errors:
            raise self.errors.pop(0)
        return "ok"


async def call(
    budget: Budget,
    wire: Wire,
    chat: int | None,
    name: Any = None,
    *,
    endpoint: str = "sendMessage",
    priority: Priority | None = None,
) -> Any:
    data = {} if chat is None else {"chat_id": chat}
    return await budget.process_request(wire, (name,), {}, endpoint, data, priority)


def most_within(times: list[float], seconds: float) -> int:
    return max(sum(1 for t in times if start <= t < start + seconds) for start in times)


@pytest.mark.parametrize("chat", [7, -7])
async def test_a_chat_never_gets_more_calls_in_its_window_than_telegram_allows(chat: int) -> None:
    budget, wire, limit = Budget(FAST), Wire(), FAST.of(chat)
    await asyncio.gather(*(call(budget, wire, chat) for _ in range(3 * limit.count)))
    assert most_within([t for t, _ in wire.seen], limit.seconds) <= limit.count


@pytest.mark.parametrize("chat", [7, -7])
async def test_as_many_calls_as_telegram_allows_go_at_once(chat: int) -> None:
    budget, limit, entered, open_ = Budget(), Limits().of(chat), 0, asyncio.Event()

    async def wire(name: Any) -> None:
        nonlocal entered
        entered += 1
        await open_.wait()

    calls = [
        asyncio.create_task(
            budget.process_request(wire, ("x",), {}, "sendMessage", {"chat_id": chat}, None)
        )
        for _ in range(limit.count)
    ]
    async with asyncio.timeout(HANG):
        while entered < limit.count:  # noqa: ASYNC110
            await asyncio.sleep(0)
    open_.set()
    await asyncio.gather(*calls)


async def test_all_chats_together_stay_below_the_overall_limit() -> None:
    budget, wire = Budget(Limits().scaled(0.1)), Wire()
    await asyncio.gather(*(call(budget, wire, chat) for chat in range(1, 101)))
    assert most_within([t for t, _ in wire.seen], 0.1) <= Limits().overall.count


async def test_a_final_answer_overtakes_what_waits() -> None:
    budget, wire = Budget(FAST), Wire()
    normal = [asyncio.create_task(call(budget, wire, 7, n)) for n in range(8)]
    await asyncio.sleep(0)  # they queue, and nobody has answered yet
    await call(budget, wire, 7, "final", priority=Priority.URGENT)
    await asyncio.gather(*normal)
    assert [name for _, name in wire.seen][:6] == [0, 1, 2, 3, 4, "final"]


async def test_drafts_are_dropped_rather_than_keep_an_answer_waiting() -> None:
    budget, wire = Budget(clock=lambda: 0.0), Wire()  # no window ever passes
    done = 0
    for n in range(10):
        try:
            await call(budget, wire, 7, n, endpoint="sendMessageDraft", priority=Priority.SPARE)
            done += 1
        except Dropped:
            pass
    assert done == 3
    await asyncio.wait_for(call(budget, wire, 7, "final", priority=Priority.URGENT), HANG)


async def test_retry_after_stops_that_chat_alone() -> None:
    budget, wire, calm = Budget(), Wire(), Wire()
    wire.errors = [RetryAfter(1)]
    flooded = asyncio.create_task(call(budget, wire, 7))
    while not wire.seen:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await call(budget, calm, 8)
    await flooded
    assert calm.seen[0][0] < wire.seen[1][0]
    assert wire.seen[1][0] - wire.seen[0][0] >= 1.0


async def test_a_draft_that_meets_flood_control_is_dropped_and_the_chat_still_waits() -> None:
    budget, wire = Budget(), Wire()
    wire.errors = [RetryAfter(1)]
    with pytest.raises(Dropped):
        await call(budget, wire, 7, endpoint="sendMessageDraft", priority=Priority.SPARE)
    await call(budget, wire, 7)
    assert wire.seen[1][0] - wire.seen[0][0] >= 1.0


async def test_a_call_that_can_be_made_twice_is_repeated_after_a_network_error() -> None:
    budget, wire = Budget(pauses=(0.01, 0.01)), Wire()
    wire.errors = [NetworkError("500"), TimedOut()]
    assert await call(budget, wire, 7, endpoint="editMessageText") == "ok"


async def test_a_send_is_repeated_only_when_it_never_left() -> None:
    budget, wire = Budget(pauses=(0.01,)), Wire()
    refused = NetworkError("httpx.ConnectError")
    refused.__cause__ = httpx.ConnectError("refused")
    wire.errors = [refused]
    assert await call(budget, wire, 7) == "ok"
    wire.errors = [NetworkError("httpx.ReadError")]
    with pytest.raises(NetworkError):
        await call(budget, wire, 7)


async def test_a_draft_leaves_half_of_all_chats_budget_to_others() -> None:
    limits = Limits(private=Limit(count=9, seconds=9), overall=Limit(count=4, seconds=9))
    budget, wire = Budget(limits), Wire()
    await call(budget, wire, 1)
    assert await call(budget, wire, 3, priority=Priority.SPARE) == "ok"
    with pytest.raises(Dropped):
        await call(budget, wire, 3, priority=Priority.SPARE)
    assert await call(budget, wire, 3) == "ok"


async def test_who_gives_up_waiting_for_all_chats_gives_the_own_chats_place_back() -> None:
    one = Limit(count=1, seconds=0.01)
    budget, wire = Budget(Limits(private=one, overall=one)), Wire()
    hanging = asyncio.Event()

    async def hang(name: Any) -> None:
        await hanging.wait()

    first = asyncio.create_task(
        budget.process_request(hang, (None,), {}, "sendMessage", {"chat_id": 1}, None)
    )
    second = asyncio.create_task(call(budget, wire, 2))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    hanging.set()
    await first
    async with asyncio.timeout(HANG):
        assert await call(budget, wire, 2) == "ok"


async def test_who_is_let_in_and_gives_up_at_once_leaves_no_trace() -> None:
    gate = Gate(Limit(count=1, seconds=0), lambda: 0.0)
    await gate.enter(Priority.NORMAL)
    waiting = asyncio.create_task(gate.enter(Priority.NORMAL))
    await asyncio.sleep(0)
    gate.leave()  # lets it in
    waiting.cancel()  # before it knows
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert gate.room() == 1


async def test_a_refusal_is_raised_at_once() -> None:
    budget, wire = Budget(pauses=(3600.0,)), Wire()
    wire.errors = [BadRequest("message is not modified")]
    with pytest.raises(BadRequest):
        await asyncio.wait_for(call(budget, wire, 7, endpoint="editMessageText"), HANG)


async def test_calls_that_name_no_chat_are_not_metered() -> None:
    budget, wire = Budget(clock=lambda: 0.0), Wire()  # what is metered waits for ever
    async with asyncio.timeout(HANG):
        await asyncio.gather(
            *(call(budget, wire, None, endpoint="answerCallbackQuery") for _ in range(50))
        )
    assert budget.chats == 0


async def test_idle_chats_are_forgotten() -> None:
    now = 0.0
    budget, wire = Budget(clock=lambda: now), Wire()
    for chat in range(1, 501):
        await call(budget, wire, chat)
        now += 1.0
    assert budget.chats <= IDLE + 2


#: A bot that calls chats 7 and -7, of which the last call never ends.
KILLED = """
import asyncio, pathlib, sys
from bot.budget import Budget
from bot.ledger import Ledger

async def wire(last):
    await asyncio.sleep(3600 if last else 0)

async def main():
    budget = Budget(ledger=Ledger(pathlib.Path(sys.argv[1])))
    async def call(chat, last=False):
        await budget.process_request(wire, (last,), {}, "sendMessage", {"chat_id": chat}, None)
    for _ in range(18):
        await call(-7)
    for _ in range(3):
        await call(7)
    last = asyncio.create_task(call(7, True))
    await asyncio.sleep(0.01)
    print("flying", flush=True)
    await last

asyncio.run(main())
"""


async def test_a_bot_that_was_killed_starts_with_what_it_had_sent(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    async with asyncio.timeout(HANG):
        assert await child.stdout.readline() == b"flying\n"
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
    ledger, now = Ledger(tmp_path), 0.0
    budget, wire = Budget(clock=lambda: now, ledger=ledger), Wire()
    for chat, left in ((-7, 2), (7, 1), (8, 4)):  # with that, all chats have had 29
        for _ in range(left):
            async with asyncio.timeout(HANG):
                assert await call(budget, wire, chat) == "ok"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call(budget, wire, chat), 0.01)
    ledger.close()


def test_a_ledger_forgets_a_chat_after_a_minute(tmp_path: Path) -> None:
    now = 1e9
    first = Ledger(tmp_path, lambda: now)
    first.end(first.begin(4711), 4711)
    now += KEPT + 1
    first.end(first.begin(4712), 4712)
    first.close()
    kept = (tmp_path / NAME).read_bytes()
    assert (4711).to_bytes(8, "little") not in kept
    assert (4712).to_bytes(8, "little") in kept
    now += KEPT + 1
    second = Ledger(tmp_path, lambda: now)
    second.close()
    assert second.recent == []
    assert not any((tmp_path / NAME).read_bytes())


def test_what_was_on_its_way_counts_from_when_it_may_arrive_and_once(tmp_path: Path) -> None:
    first = Ledger(tmp_path, lambda: 1e9)
    first.begin(7)
    first.close()
    for later in (0.0, LATE / 2, 10.0):
        ledger = Ledger(tmp_path, partial(float, 1e9 + later))
        ledger.close()
        ((chat, age),) = ledger.recent
        assert chat == 7
        assert age == pytest.approx(later - LATE, abs=0.01)


def test_a_ledger_that_is_no_ledger_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\xff" * 100)
    ledger = Ledger(tmp_path)
    assert ledger.recent == []
    ledger.close()
    (tmp_path / NAME).write_bytes(b"\xff" * (tmp_path / NAME).stat().st_size)  # times: no number
    ledger = Ledger(tmp_path)
    assert ledger.recent == []
    with pytest.raises(BlockingIOError):
        Ledger(tmp_path)  # a second process would write over it
    ledger.close()


def test_noting_a_call_costs_next_to_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    began = time.thread_time()
    for number in range(10_000):  # more than twice the slots
        ledger.end(ledger.begin(number + 1), number + 1)
    each = (time.thread_time() - began) / 10_000
    ledger.close()
    assert each < 100e-6, each


async def test_a_cancelled_waiter_gives_its_place_back() -> None:
    gate = Gate(Limit(count=1, seconds=0.05), time.monotonic)
    await gate.enter(Priority.NORMAL)
    waiter = asyncio.create_task(gate.enter(Priority.NORMAL))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    gate.leave()
    await asyncio.wait_for(gate.enter(Priority.NORMAL), HANG)
