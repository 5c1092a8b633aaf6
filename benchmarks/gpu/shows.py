"""What of all that a GPU has to show holds, by the files of `benchmarks.gpu.session`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

#: (what is to be shown, file, how to find the number in it, how it compares, with what)
SHOWS: Final[Sequence[tuple[str, str, str, str, float]]] = (
    ("photo, 128 users, requests/s", "ours-photo-128", "requests_per_second", ">=", 18),
    ("the same, 8-bit weights", "ours+fp8-photo-128", "requests_per_second", ">=", 18),
    ("photo, 32 users, first word, s", "ours-photo-32", "first_p50", "<=", 0.7),
    ("tile, 128 users, requests/s", "ours-tile-128", "requests_per_second", ">=", 95),
    ("albums of ten, 32 users, failed", "ours-album-32", "failed", "<=", 0),
)
#: Loads that one user alone meets, and the stock systems that are to be matched.
ALONE: Final = ("tile", "photo", "mixed", "chat")
STOCK: Final = ("server", "server-pytorch", "pipeline", "pipeline-pytorch", "chat")


def summary(results: Path) -> None:
    """What is shown, and what is not yet."""

    def cell(name: str) -> dict[str, Any]:
        file = results / f"{name}.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        return found

    for what, name, key, sign, aim in SHOWS:
        value = cell(name).get(key)
        holds = value is not None and (value >= aim if sign == ">=" else value <= aim)
        _mark(holds, value, what, f"{sign} {aim:g}")
    for load in ALONE:
        ours = cell(f"ours-{load}-1").get("requests_per_second")
        stock = {s: cell(f"{s}-{load}-1").get("requests_per_second") for s in STOCK}
        best = max((rate for rate in stock.values() if rate), default=None)
        share = ours / best if ours and best else None
        _mark(
            bool(share and share >= 0.95), share, f"{load}, one user, of the best stock", ">= 0.95"
        )
    chat = cell("ours-chat-1")
    turns = [chat.get(f"first_p50{turn}") for turn in ("", "_turn2")]
    follow = turns[1] / turns[0] if turns[0] and turns[1] else None
    _mark(
        bool(follow and follow <= 0.4), follow, "a follow-up's first word, of the first", "<= 0.4"
    )
    for name in ("kills", "swap", "replicas", "alone", "choose"):
        for claim, holds in cell(name).get("claims", {f"{name} was not run": None}).items():
            _mark(bool(holds), holds, f"{name}: {claim}", "")


def _mark(holds: bool, value: Any, what: str, aim: str) -> None:
    shown = "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
    state = "holds" if holds else "open " if value is None else "FAILS"
    sys.stderr.write(f"{state}  {what:45} {shown:>8} {aim}\n")
