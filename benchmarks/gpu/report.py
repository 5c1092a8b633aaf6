"""The table and the plot of `benchmarks.gpu.serve`'s cells, with the physical floor beside them."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.floor import Card, seconds
from benchmarks.gpu.shapes import SHAPES

#: Tiles of a photo under each load that has one number of them.
TILES = {"tile": 1, "photo": 13}
#: Tokens of a prompt that goes with them, where a system does not say.
PROMPTS = {"tile": 333, "photo": 3405}
NEW = 128
LOADS = ("tile", "photo", "mixed", "chat", "album")


def cells(results: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text("utf-8")) for path in sorted(results.glob("*-*.json"))]
    return sorted(found, key=lambda c: (LOADS.index(c["load"]), c["users"], c["system"]))


def bound(results: Path, cell: dict[str, Any]) -> float | None:
    """Requests a second at the floor; None for a load of many shapes, or an unmeasured card."""
    file = results / "floor.json"
    if cell["load"] not in TILES or not file.exists():
        return None
    rates = json.loads(file.read_text("utf-8"))
    card = Card(bandwidth=rates["bandwidth"], rate=rates["rate"])
    prompt = int(cell.get("prompt") or PROMPTS[cell["load"]])
    tiles, users = TILES[cell["load"]], cell["users"]
    return 1 / seconds(SHAPES["2b"], card, tiles=tiles, prompt=prompt, new=NEW, users=users)


def table(results: Path) -> str:
    """Markdown."""
    lines = [
        "| load | users | system | requests/s | of the floor | tokens/s | first word p50 / p95, s |"
        " later turns p50, s | GPU memory, GiB | failed |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells(results):
        floor = bound(results, cell)
        share = f"{cell['requests_per_second'] / floor:.0%} of {floor:.1f}" if floor else ""
        first = [cell.get(f"first_{p}") for p in ("p50", "p95")]
        words = f"{first[0]:.3f}" if first[0] else ""
        if words and cell["users"] > 1:
            words += f" / {first[1]:.3f}"
        later = [cell.get(f"first_p50_turn{turn}") for turn in (2, 3)]
        turns = ", ".join(f"{value:.3f}" for value in later if value)
        memory = f"{cell['memory'] / 1024:.1f}" if cell["memory"] else ""
        lines.append(
            f"| {cell['load']} | {cell['users']} | {cell['system']} |"
            f" {cell['requests_per_second']:.2f} | {share} | {cell['tokens_per_second']:,.0f} |"
            f" {words} | {turns} | {memory} | {cell['failed']} |"
        )
    return "\n".join(lines)


def plot(results: Path, out: Path) -> None:
    """Requests a second over users, a panel for tiles and one for photos."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot, ticker

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    systems = sorted({cell["system"] for cell in cells(results)})
    for panel, load in zip(panels, TILES, strict=True):
        shown = [cell for cell in cells(results) if cell["load"] == load]
        for number, system in enumerate(systems):
            points = [
                (c["users"], c["requests_per_second"]) for c in shown if c["system"] == system
            ]
            xs, ys = [users for users, _ in points], [rate for _, rate in points]
            panel.plot(xs, ys, marker="o", color=f"C{number}", label=system)
        users = sorted({cell["users"] for cell in shown})
        floors = [bound(results, {"load": load, "users": n}) for n in users]
        if all(floors):
            panel.plot(users, floors, "k--", label="physical limit")
        panel.set(xscale="log", yscale="log", xlabel="users at once", ylabel="requests a second")
        panel.set_xticks(users, [str(n) for n in users])
        panel.xaxis.set_minor_locator(ticker.NullLocator())
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_locator(ticker.NullLocator())
        panel.set_title({"tile": "one tile", "photo": "1280 x 960: 13 tiles"}[load])
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.savefig(out, dpi=110)


def write(results: Path) -> None:
    """Print the table and write gpu.png beside the cells."""
    sys.stdout.write(table(results) + "\n")
    plot(results, results / "gpu.png")
