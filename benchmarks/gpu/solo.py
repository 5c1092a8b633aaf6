"""One user alone, before every system in turn: all are loaded at once, and asked round by round.

    python -m benchmarks.gpu.solo MODEL PHOTOS RESULTS [--rounds 5]

Alone, a user waits for the processor as much as for the GPU, and a machine's neighbours slow one
minute and not the next: systems that are measured minutes apart cannot be told from each other by
a few per cent. Here a round shows the same photos to each, one after another, beginning with
another one each time. One that waits takes little but memory. Writes the cells of one user as
`benchmarks.gpu.serve` does those of many.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu import photos, serve, systems

#: Of the card's free memory, what the keys and values of each get: far more than one user needs.
CACHE: Final = 0.08
#: Photos (or conversations about one) in a round.
SHOWN: Final = 2
LOADS: Final = ("tile", "photo", "mixed", "chat")
#: What each system is asked; a list of photos is no conversation.
ASKED: Final = {
    "ours": LOADS,
    "server": LOADS,
    "server-pytorch": LOADS,
    "pipeline": LOADS[:3],
    "pipeline-pytorch": LOADS[:3],
}

Answer = Callable[[str, list[bytes]], dict[str, Any]]


@contextlib.contextmanager
def opened(name: str, model: Path) -> Any:
    """A system, ready to be asked: (load, photos) to what `serve.summary` says."""
    backend = "pytorch" if name.endswith("-pytorch") else "turbomind"
    if name.startswith("pipeline"):
        pipeline = systems.Pipeline(model, backend, cache=CACHE)
        pipeline.open()

        def batch(load: str, shown: list[bytes]) -> dict[str, Any]:
            started = time.perf_counter()
            written = sum(pipeline.batch([photo]) for photo in shown)
            seconds = time.perf_counter() - started
            return {
                "requests": len(shown),
                "failed": 0,
                "requests_per_second": len(shown) / seconds,
                "tokens_per_second": written / seconds,
            }

        yield batch
        pipeline.close()
        return
    port = systems.PORT + list(ASKED).index(name)
    system: Any = systems.Server(model, backend, cache=CACHE, port=port)
    if name == "ours":
        system = systems.Ours(model, {"cache_max_entry_count": CACHE})
    with asyncio.Runner() as loop:
        loop.run(system.open())

        def stream(load: str, shown: list[bytes]) -> dict[str, Any]:
            before = system.written
            done = loop.run(serve.cell(system, load, 1, shown))
            return serve.summary(done, system.written - before)

        yield stream
        loop.run(system.close())


def child(name: str, model: Path, pipe: Connection) -> None:
    """Answer what comes through the pipe, until it is closed."""
    started = time.perf_counter()
    with opened(name, model) as answer:
        pipe.send(time.perf_counter() - started)
        with contextlib.suppress(EOFError):
            while True:
                pipe.send(answer(*pipe.recv()))


@contextlib.contextmanager
def beside(names: list[str], model: Path) -> Any:
    """Every system in a process of its own, loaded at the same time: (pipe, seconds of loading).

    One that cannot be loaded is said to be, and left out.
    """
    spawn, pipes = multiprocessing.get_context("spawn"), dict[str, Connection]()
    loaded: dict[str, tuple[Connection, float]] = {}
    with contextlib.ExitStack() as stack:
        for name in names:
            pipes[name], theirs = spawn.Pipe()
            process = spawn.Process(target=child, args=(name, model, theirs))
            process.start()
            theirs.close()  # so that its end is seen here
            stack.callback(process.join, 60)
            stack.callback(pipes[name].close)  # ends it
        for name, pipe in pipes.items():
            try:
                loaded[name] = (pipe, pipe.recv())
            except EOFError:
                sys.stderr.write(f"{name} was not loaded\n")
        yield loaded


def run(given: Any) -> None:
    given.results.mkdir(parents=True, exist_ok=True)
    album = photos.Album(given.photos)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with beside(given.systems, given.model) as all_of_them:
        names = list(all_of_them)
        for number in range(given.rounds + 1):
            for load in LOADS:
                shown = album.take(load if load in photos.SIZES else "photo", SHOWN)
                turn = number % len(names)
                for name in (*names[turn:], *names[:turn]):
                    if load not in ASKED[name]:
                        continue
                    pipe, _ = all_of_them[name]
                    pipe.send((load, shown))
                    answer = pipe.recv()
                    if number:  # in the first round each warms up
                        found.setdefault((name, load), []).append(answer)
        for (name, load), rounds in found.items():
            rates = [one["requests_per_second"] for one in rounds]
            middle = min(rounds, key=lambda r: abs(r["requests_per_second"] - _median(rates)))
            loaded = all_of_them[name][1]
            result = middle | {"rounds": rates, "loaded": loaded, "memory": None}
            serve.write(given.results / f"{name}-{load}-1.json", name, load, 1, result)


def _median(rates: list[float]) -> float:
    return statistics.median_low(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--systems", nargs="*", choices=ASKED, default=list(ASKED))
    run(parser.parse_args())
    sys.stderr.flush()


if __name__ == "__main__":
    main()
