"""Everything that a GPU has to show, in one session on one machine, the most important first.

    python -m benchmarks.gpu.session RESULTS [--seconds 560] [--only PART…] [--dry-run]
    python -m benchmarks.gpu.session RESULTS --summary

Run it again and it goes on: a part whose files are there is not run again, a part that was cut off
keeps the cells it has, and what does not fit into the seconds left waits for the next call. The
model, its twin and the photos are made under /dev/shm once. RESULTS/session.json says what ran, how
long it took and how it ended; the summary, what of it holds. `--model tiny` with `--photos` on a
machine without a GPU runs what needs none: a rehearsal.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu import serve, shows

#: Where the models and photos are made.
SCRATCH: Final = Path("/dev/shm")
PHOTOS: Final = 2600


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process to run."""

    name: str
    #: Seconds that it takes on an H200; it is not begun with fewer left.
    seconds: int
    #: Arguments of `python -m`; what stands in braces is filled in by `places`.
    command: str
    #: What it leaves in RESULTS once it is through.
    files: Sequence[str]
    gpus: int = 1
    needs: str = ""


def cells(label: str, chosen: Sequence[tuple[str, int]]) -> list[str]:
    return [f"{label}-{load}-{users}.json" for load, users in chosen]


def measured(
    name: str, seconds: int, options: str = "", chosen: Any = None, *, model: str = "{model}"
) -> Part:
    """Cells of `benchmarks.gpu.serve`."""
    system, _, label = name.partition("+")
    given = f"--system {system}" + (f" --label {label}" if label else "")
    given = f"benchmarks.gpu.serve run {model} {{photos}} {{results}} {given} {options}"
    files = cells(name, chosen or serve.CELLS[system])
    needs = "{fp8}" if model == "{fp8}" else "{model}"
    return Part(name=name, seconds=seconds, command=given.strip(), files=files, needs=needs)


def tried(label: str, plan: str, *, model: str = "{model}", users: str = "32 128") -> Part:
    """One change of the plan, on photos alone."""
    chosen = [("photo", int(one)) for one in users.split()]
    return measured(
        f"ours+{label}", 65, f"--plan {plan} --only photo --users {users}", chosen, model=model
    )


#: In the order of their importance. Seconds as measured, or reckoned from measured rates.
PARTS: Final = (
    Part(name="floor", seconds=15, command="benchmarks.gpu.floor", files=["floor.json"]),
    measured("ours", 200),
    tried("without", '{"own_vision":false}'),
    tried("kv8", '{"quant_policy":8}', users="128"),
    tried("fp8", '{"more":{"gemm_input_dtype":"float8_e4m3"}}', model="{fp8}"),
    Part(
        name="kills",
        seconds=280,
        command="benchmarks.gpu.endure kills {model} {photos} {results}/kills.json",
        files=["kills.json"],
        needs="{model}",
    ),
    Part(
        name="swap",
        seconds=90,
        command="benchmarks.gpu.endure swap {model} {photos} {results}/swap.json --beside {next}",
        files=["swap.json"],
        needs="{next}",
    ),
    Part(
        name="record",
        seconds=60,
        command="benchmarks.gpu.record engine/nano/model {results}/recorded",
        files=["recorded/unknown-path.json"],
    ),
    Part(
        name="choose",
        seconds=45,
        command="benchmarks.gpu.endure choose {model} {photos} {results}/choose.json",
        files=["choose.json"],
        needs="{model}",
    ),
    Part(
        name="shares",
        seconds=60,
        command="benchmarks.gpu.shares {model} {photos} {results}/shares.json",
        files=["shares.json"],
        needs="{model}",
    ),
    measured("server", 130),
    measured("pipeline-pytorch", 75),
    measured("pipeline", 65),
    measured("server-pytorch", 90),
    measured("chat", 30),
    measured("transformers", 35),
    Part(
        name="replicas",
        seconds=200,
        command="benchmarks.gpu.endure serve {model} {photos} {results}/replicas.json --replicas 2",
        files=["replicas.json"],
        gpus=2,
        needs="{model}",
    ),
    Part(
        name="alone",
        seconds=130,
        command="benchmarks.gpu.endure serve {model} {photos} {results}/alone.json --kills 2",
        files=["alone.json"],
        needs="{model}",
    ),
    tried("chunk4k", '{"max_prefill_token_num":4096}', users="128"),
)


def places(given: Any) -> dict[str, str]:
    return {
        "model": str(given.model),
        "next": str(given.model.with_name(given.model.name + "-next")),
        "fp8": str(given.model.with_name(given.model.name + "-fp8")),
        "photos": str(given.photos),
        "results": str(given.results),
    }


def made(given: Any, what: str) -> None:
    """Make a model or the photos, unless they are there."""
    where = places(given)
    target = Path(what.format(**where))
    shape = ["--shape", given.shape]
    commands = {
        where["model"]: ["benchmarks.gpu.shapes", where["model"], *shape],
        where["next"]: ["benchmarks.gpu.shapes", where["next"], *shape, "--seed", "1"],
        where["fp8"]: ["benchmarks.gpu.fp8", where["model"], where["fp8"]],
    }
    photos = ["benchmarks.gpu.photos", where["photos"], "--count", str(PHOTOS)]
    if str(target) in commands and not (target / "config.json").is_file():
        if str(target) == where["fp8"]:
            made(given, "{model}")
        subprocess.run([sys.executable, "-m", *commands[str(target)]], check=True)
    if not any(given.photos.glob("*.jpg")):
        subprocess.run([sys.executable, "-m", *photos], check=True)


def missing(given: Any, part: Part) -> list[str]:
    return [file for file in part.files if not (given.results / file).is_file()]


def begin(given: Any, part: Part, limit: float) -> dict[str, Any]:
    """Run a part, no longer than the limit; how it ended."""
    started, log = time.monotonic(), given.results / f"{part.name}.log"
    command = [sys.executable, "-m", *(w.format(**places(given)) for w in words(part))]
    try:
        if part.needs:
            made(given, part.needs)
        with log.open("wb") as output:
            target = subprocess.PIPE if part.name == "floor" else output
            child = subprocess.Popen(command, stdout=target, stderr=output, start_new_session=True)
            try:
                said, _ = child.communicate(timeout=limit)
                ended: Any = child.returncode
            except subprocess.TimeoutExpired:
                ended = "cut off"
            finally:  # its own children too: a server that is left holds the GPU
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if part.name == "floor" and ended == 0:
            (given.results / "floor.json").write_bytes(said)
    except subprocess.CalledProcessError as error:
        ended = f"{error}"[:200]
    left = missing(given, part)
    return {"seconds": round(time.monotonic() - started, 1), "ended": ended, "missing": left}


def words(part: Part) -> list[str]:
    """The command's words; braces of a plan's JSON are not to be filled in."""
    return [
        word.replace("{", "{{").replace("}", "}}") if word.startswith('{"') else word
        for word in part.command.split()
    ]


def run(given: Any) -> None:
    given.results.mkdir(parents=True, exist_ok=True)
    given.results = given.results.resolve()
    book, until = given.results / "session.json", time.monotonic() + given.seconds
    kept: dict[str, Any] = json.loads(book.read_text()) if book.is_file() else {}
    gpus = int(os.environ.get("GPUS") or _gpus())
    for part in PARTS:
        if given.only and part.name not in given.only:
            continue
        left = until - time.monotonic()
        state = "there" if not missing(given, part) else ""
        state = state or ("needs more GPUs" if part.gpus > gpus else "")
        # What failed as a whole is not begun again and again, but when it is named.
        tries = kept.get(part.name, {}).get("tries", 0)
        state = state or ("failed twice" if tries >= 2 and not given.only else "")
        state = state or ("no time left" if part.seconds > left and not given.dry_run else "")
        if state or given.dry_run:
            _say(f"{part.name:18} {part.seconds:4} s  {state or ' '.join(words(part))}")
            continue
        found = begin(given, part, min(2 * part.seconds, left))
        kept[part.name] = found | {"tries": tries + 1}
        partial = book.with_suffix(".part")
        partial.write_text(json.dumps(kept, indent=1))
        partial.rename(book)
        _say(f"{part.name:18} {found['seconds']:6.1f} s  {found['ended']}  {found['missing']}")
    if given.dry_run:
        open_ = [p for p in PARTS if missing(given, p) and p.gpus <= gpus]
        _say(f"{len(open_)} parts, {sum(p.seconds for p in open_)} s and about 60 s to make things")
    else:
        shows.summary(given.results)


def _gpus() -> int:
    from engine import card

    return len(card.cards())


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, default=560)
    parser.add_argument("--only", nargs="*", choices=[part.name for part in PARTS])
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--model", type=Path, default=SCRATCH / "2b")
    parser.add_argument("--shape", default="2b")
    parser.add_argument("--photos", type=Path, default=SCRATCH / "photos")
    given = parser.parse_args()
    shows.summary(given.results) if given.summary else run(given)


if __name__ == "__main__":
    main()
