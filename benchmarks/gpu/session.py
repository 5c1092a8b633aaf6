"""Everything that a GPU has to show, in one session on one machine, the most important first.

    python -m benchmarks.gpu.session RESULTS [--seconds 560] [--only PART…] [--dry-run]
    python -m benchmarks.gpu.session RESULTS --summary

Run it again and it goes on (see `parts`). The model, its twin and the photos are made under
/dev/shm once. RESULTS/session.json says what ran, how long it took and how it ended; the summary,
what of it holds. `--model tiny` with `--photos` on a machine without a GPU runs what needs none: a
rehearsal.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu import parts, serve, shows, solo
from benchmarks.gpu.parts import SCRATCH, Part

PHOTOS: Final = 2600


def cells(label: str, chosen: Sequence[tuple[str, int]]) -> list[str]:
    return [f"{label}-{load}-{users}.json" for load, users in chosen]


def measured(name: str, seconds: int, options: str = "", chosen: Any = None) -> Part:
    """Cells of `benchmarks.gpu.serve`."""
    system, _, label = name.partition("+")
    given = f"--system {system}" + (f" --label {label}" if label else "")
    given = f"benchmarks.gpu.serve run {{model}} {{photos}} {{results}} {given} {options}"
    files = cells(name, chosen or serve.CELLS[system])
    return Part(name=name, seconds=seconds, command=given.strip(), files=files, needs="{model}")


def tried(label: str, plan: str, *, users: str = "32 128") -> Part:
    """One change of the plan, on photos alone."""
    chosen = [("photo", int(one)) for one in users.split()]
    return measured(f"ours+{label}", 65, f"--plan {plan} --only photo --users {users}", chosen)


#: In the order of their importance. Seconds as measured, or reckoned from measured rates.
PARTS: Final = (
    Part(
        name="floor",
        seconds=15,
        command="benchmarks.gpu.floor",
        files=["floor.json"],
        printed="floor.json",
    ),
    measured("ours", 160),
    Part(
        name="solo",
        seconds=180,
        command="benchmarks.gpu.solo {model} {photos} {results}",
        files=[f"{name}-{load}-1.json" for name, loads in solo.ASKED.items() for load in loads],
        needs="{model}",
    ),
    tried("without", '{"own_vision":false}'),
    tried("kv8", '{"quant_policy":8}', users="128"),
    tried("fp8", '{"weight_bits":8}'),
    Part(
        name="kills",
        seconds=310,
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
    measured("server", 90),
    measured("pipeline-pytorch", 60),
    measured("pipeline", 50),
    measured("server-pytorch", 100),
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
    }
    photos = ["benchmarks.gpu.photos", where["photos"], "--count", str(PHOTOS)]
    if str(target) in commands and not (target / "config.json").is_file():
        subprocess.run([sys.executable, "-m", *commands[str(target)]], check=True)
    if not any(given.photos.glob("*.jpg")):
        subprocess.run([sys.executable, "-m", *photos], check=True)


BOOK: Final = parts.Book(
    name="session", parts=PARTS, places=places, made=made, summary=shows.summary
)


if __name__ == "__main__":
    parts.main(BOOK, "Everything that a GPU has to show.", photos=SCRATCH / "photos")
