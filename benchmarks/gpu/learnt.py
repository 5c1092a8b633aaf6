"""What came of a lesson: the exam, the worker's log, and which claims hold."""

import json
import shutil
import statistics
from pathlib import Path
from typing import Any, Final

from tests import drawn

#: From the approval of the corrections to the promoted model, seconds.
AIM: Final = 600.0
#: Of the views that nobody taught, the share that is named right afterwards. Chance is 5 %.
RIGHT: Final = 0.7


def told(log: Path) -> dict[str, int]:
    """How often the worker said that it changed, or made room."""
    events = ("swap.paused", "swap.resumed", "swap.switched", "swap.rolled_back")
    text = log.read_text("utf-8", "replace")
    return {name: text.count(f'"{name}"') for name in events}


def recalled(log: Path) -> set[int]:
    """The jobs of which the correction memory had something to say."""
    lines = log.read_text("utf-8", "replace").splitlines()
    return {json.loads(line)["job"] for line in lines if '"memory.recalled"' in line}


def exam(home: Path) -> dict[str, dict[str, float]]:
    """What both models got in the exam, the mean of each part."""
    found = {}
    for who in ("live", "candidate"):
        file = home / "runs" / "1" / f"{who}.json"
        parts = json.loads(file.read_bytes()) if file.exists() else {}
        scores = {part: parts.get(part) or {} for part in ("corrections", "naming", "checks")}
        found[who] = {
            part: round(statistics.fmean(of.values()), 4) for part, of in scores.items() if of
        } | {"held_out": len(scores["corrections"])}
    return found


def keep(out: Path, home: Path) -> None:
    """The report and training's log, beside the results."""
    folder = home / "runs" / "1"
    for file in (folder / "report.png", folder / "work" / "train.log"):
        kept = out.with_name(f"{out.stem}-{file.name}")
        if file.suffix == ".log" and file.exists():
            kept.write_bytes(file.read_bytes()[-(2**20) :])
        elif file.exists():
            shutil.copy(file, kept)


def claims(given: Any, found: dict[str, Any]) -> dict[str, bool]:
    others, verdict = found["others"], found["run"]["metrics"].get("verdict", {})
    wanted = given.views * len(drawn.NAMES)
    claims = {
        f"{wanted} corrections, all learnt from": found["corrections"] == wanted,
        f"promoted within {AIM / 60:.0f} minutes": found["seconds"]["to_promoted"] <= AIM,
        "every job of the others answered": others["answered"] == others["jobs"],
        "by both models": "critic-1" in others["models"] and len(others["models"]) == 2,
    }
    if given.mechanics:
        claims["a model that got no better is refused"] = verdict.get("passed") is False
        claims["rolled back within a minute"] = found["seconds"]["rollback"] < 60
    else:
        claims["the gate passed"] = verdict.get("passed") is True
        claims["other views are named right"] = found["right_after"]["right"] >= RIGHT
        # Without the correction memory, which helps people, too.
        own = found["exam"]["candidate"].get("corrections", 0.0)
        claims["and by the model itself those held out"] = own >= RIGHT
    if given.card_gb is not None:
        serving = found["serving"]
        claims["serving made room and came back"] = (
            min(serving["swap.paused"], serving["swap.resumed"]) > 0
        )
    return claims
