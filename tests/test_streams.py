"""Answers out of an engine: in order, collected under load, stopped, and given up when it hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace

import pytest

from engine import streams
from engine.runner import EngineDied
from engine.streams import Streams
from foodcritic.errors import EngineError


async def counting(count: int, pause: float = 0.0) -> AsyncIterator[int]:
    for i in range(count):
        await asyncio.sleep(pause)
        yield i


async def never() -> AsyncIterator[int]:
    yield 0
    await asyncio.Event().wait()


async def nothing() -> None: ...


async def test_an_answer_comes_whole_and_in_order() -> None:
    ended = list[bool]()
    async with aclosing(
        Streams().read(counting(20), nothing, lambda: ended.append(True))
    ) as pieces:
        assert [piece async for piece in pieces] == list(range(20))
    assert ended == [True]


async def test_what_an_engine_raises_is_one_of_our_errors() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise AssertionError("CUDA error: an illegal memory access")

    with pytest.raises(EngineError, match="illegal memory access"):
        async for _ in Streams().read(broken(), nothing):
            pass


async def test_an_answer_closed_early_tells_the_engine_and_waits_for_it() -> None:
    told = asyncio.Event()
    ended = asyncio.Event()

    async def long() -> AsyncIterator[int]:
        yield 0
        await told.wait()
        ended.set()

    async def stop() -> None:
        told.set()

    reading = Streams().read(long(), stop)
    assert await anext(reading) == 0
    await reading.aclose()
    assert ended.is_set()


async def test_a_cancelled_reader_still_tells_the_engine() -> None:
    told = asyncio.Event()

    async def long() -> AsyncIterator[int]:
        await told.wait()
        yield 0

    async def stop() -> None:
        told.set()

    async def read() -> None:
        async with aclosing(Streams().read(long(), stop)) as pieces:
            async for _ in pieces:
                pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert told.is_set()


async def test_an_engine_that_writes_nothing_for_too_long_is_given_up() -> None:
    """Every open answer ends with the reason, and so does every new one."""
    open_ = Streams(hang=0.1)

    async def read() -> None:
        async for _ in open_.read(never(), nothing):
            pass

    reading = [asyncio.create_task(read()) for _ in range(3)]
    async with asyncio.timeout(60):
        found = await asyncio.gather(*reading, return_exceptions=True)
    assert all(isinstance(error, EngineDied) for error in found)
    with pytest.raises(EngineDied, match="it hangs"):
        await read()


async def test_an_engine_that_writes_to_somebody_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer waits its turn for longer than the engine may be silent."""
    open_, now, turn = Streams(hang=0.05), 0.0, asyncio.Event()

    async def late() -> AsyncIterator[int]:
        await turn.wait()
        yield 0

    monkeypatch.setattr(streams, "time", SimpleNamespace(monotonic=lambda: now))
    waiting = asyncio.create_task(anext(open_.read(late(), nothing)))
    async for _ in open_.read(counting(10, pause=0.02), nothing):
        now += 0.04
    turn.set()
    assert await waiting == 0


async def test_an_idle_engine_is_not_watched() -> None:
    open_ = Streams(hang=0.05)
    async for _ in open_.read(counting(1), nothing):
        pass
    await asyncio.sleep(0.15)
    assert open_.dead is None


async def test_under_load_tokens_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = Streams()

    async def read() -> float:
        started = asyncio.get_running_loop().time()
        async for _ in open_.read(counting(3), nothing):
            pass
        return asyncio.get_running_loop().time() - started

    monkeypatch.setattr(streams, "PAUSE", 3600)
    await read()  # alone, it waits for nobody
    monkeypatch.setattr(streams, "PAUSE", 0.05)
    took = await asyncio.gather(*(read() for _ in range(streams.MANY + 2)))
    assert max(took) >= 0.1


async def test_an_engine_that_does_not_let_go_of_an_answer_is_given_up() -> None:
    """Whoever closed the answer goes on."""
    open_ = Streams(hang=0.1)
    reading = open_.read(never(), nothing)
    assert await anext(reading) == 0
    async with asyncio.timeout(60):
        await reading.aclose()
    with pytest.raises(EngineDied, match="let go"):
        open_.check()


async def test_an_engine_that_cannot_be_told_to_stop_is_still_waited_for() -> None:
    ended = asyncio.Event()

    async def long() -> AsyncIterator[int]:
        yield 0
        await asyncio.sleep(0.05)
        ended.set()

    async def broken() -> None:
        raise RuntimeError("no such session")

    open_ = Streams()
    reading = open_.read(long(), broken)
    assert await anext(reading) == 0
    await reading.aclose()
    assert ended.is_set()
    open_.check()


async def failing() -> AsyncIterator[int]:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")
    yield 0


async def fails(open_: Streams, times: int) -> None:
    for _ in range(times):
        with pytest.raises(EngineError, match="illegal memory"):
            async for _ in open_.read(failing(), nothing):
                pass


async def test_an_engine_that_fails_again_and_again_is_given_up() -> None:
    """CUDA's errors stay: only a fresh process helps."""
    open_ = Streams()
    await fails(open_, streams.FAILURES)
    with pytest.raises(EngineDied, match="5 answers failed in a row"):
        open_.check()


async def test_an_engine_that_fails_now_and_then_goes_on() -> None:
    """A prompt that it cannot take is no end."""
    open_ = Streams()
    for _ in range(3):
        await fails(open_, streams.FAILURES - 1)
        assert [piece async for piece in open_.read(counting(1), nothing)] == [0]
    open_.check()


async def test_an_engine_that_says_it_died_ends_every_answer() -> None:
    open_ = Streams()

    async def dying() -> AsyncIterator[int]:
        yield 0
        raise EngineDied("the engine's loop has ended")

    async def read(answer: AsyncIterator[int]) -> None:
        async for _ in open_.read(answer, nothing):
            pass

    async with asyncio.timeout(60):
        found = await asyncio.gather(read(never()), read(dying()), return_exceptions=True)
    assert [type(error) for error in found] == [EngineDied, EngineDied]


async def test_a_closed_engine_ends_its_answers_but_not_the_process() -> None:
    """Another engine took over: what was cut off is tried again there."""
    open_ = Streams()

    async def read() -> None:
        async for _ in open_.read(never(), nothing):
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    open_.close()
    for ended in (reading, asyncio.create_task(read())):
        with pytest.raises(EngineError, match="was closed") as raised:
            await ended
        assert not isinstance(raised.value, EngineDied)


async def test_what_ends_because_the_engine_was_closed_ends_no_process() -> None:
    """LMDeploy's PyTorch engine says of what is open that its loop has died."""
    closed = asyncio.Event()

    async def open_still() -> AsyncIterator[int]:
        yield 0
        await closed.wait()
        raise EngineDied("LMDeploy ended an answer with ENGINE_STOP_ERROR")

    open_ = Streams()
    reading = open_.read(open_still(), nothing)
    assert await anext(reading) == 0
    open_.close()
    closed.set()
    await asyncio.sleep(0.01)
    with pytest.raises(EngineError, match="closed") as ended:
        await anext(reading)
    assert not isinstance(ended.value, EngineDied)
    with pytest.raises(EngineError, match="closed") as ended:
        open_.check()
    assert not isinstance(ended.value, EngineDied)
