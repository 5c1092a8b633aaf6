"""`foodcritic ask`: one question about photos, answered in the terminal or as JSON."""

from contextlib import aclosing
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from engine.critic import Answer


async def show(answer: Answer, console: Console) -> None:
    """Write the answer as it comes: rendered on a terminal, plain into a pipe."""
    async with aclosing(answer.write()) as pieces:
        if not console.is_terminal:
            async for piece in pieces:
                console.out(piece, end="", highlight=False)
            console.out("")
            return
        with Live(console=console, refresh_per_second=20, vertical_overflow="visible") as live:
            async for _ in pieces:
                live.update(Markdown(answer.text))
    console.print(Text(_footer(answer), style="dim"))


async def finish(answer: Answer) -> dict[str, Any]:
    """The whole answer as the JSON object that `--json` prints; rates per second, in seconds."""
    async with aclosing(answer.write()) as pieces:
        async for _ in pieces:
            pass
    first, rate = answer.seconds_to_first_token, answer.tokens_per_second
    return answer.critique.to_json() | {
        "model": answer.engine.model,
        "seconds_to_first_token": first if first is None else round(first, 4),
        "tokens_per_second": rate if rate is None else round(rate, 1),
    }


def _footer(answer: Answer) -> str:
    """What the naming pass thought, and how fast it all was."""
    named = " · ".join(
        f"{c.name(answer.request.lang)} {c.probability:.0%}"
        for c in answer.candidates
        if c.probability is not None
    )
    zh = answer.request.lang == "zh"
    speed = [answer.engine.model]
    if answer.seconds_to_first_token is not None:
        ms = f"{answer.seconds_to_first_token * 1000:.0f}"
        speed.append(f"首字 {ms} 毫秒" if zh else f"first word after {ms} ms")
    if answer.tokens_per_second is not None:
        rate = f"{answer.tokens_per_second:,.0f}"
        speed.append(f"每秒 {rate} 词元" if zh else f"{rate} tokens/s")
    return "\n".join(line for line in (named, ("，" if zh else ", ").join(speed)) if line)
