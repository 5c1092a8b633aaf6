"""The picture of /stats: jobs, waiting times and ratings of the last days."""

import io
import threading
from collections.abc import Mapping

from foodcritic.drawing import labels
from foodcritic.figures import Figures

#: Wong, "Points of view: Color blindness", Nature Methods 8, 441 (2011).
GREEN, RED, GREY, BLUE = "#009E73", "#D55E00", "#999999", "#0072B2"
#: matplotlib's fonts are one process-wide cache.
_DRAWING = threading.Lock()


def draw(figures: Figures, words: Mapping[str, str]) -> bytes:
    """A PNG, 1000 x 1100 pixels; `words` are titles and legends. Takes a second: use a thread.

    Args:
        figures: what to draw.
        words: answers, answered, failed, stopped, waiting, ratings, good, bad, seconds.
    """
    # Slow to import, and only administrators ever need it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

    days = figures.days
    names = [f"{day.date:%m-%d}" for day in days]
    places = list(range(len(days)))
    with _DRAWING, labels.families("".join(words.values())) as families:
        font = FontProperties(family=families, size=11)
        figure = Figure(figsize=(10, 11), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        jobs, waits, ratings = figure.subplots(3, 1)
        below = [0] * len(days)
        for key, colour in (("answered", GREEN), ("failed", RED), ("stopped", GREY)):
            counts = [getattr(day, key) for day in days]
            jobs.bar(places, counts, bottom=below, color=colour, label=words[key])
            below = [a + b for a, b in zip(below, counts, strict=True)]
        jobs.set_title(words["answers"], fontproperties=font)
        waits.plot(places, [day.took.p50 for day in days], "o-", color=BLUE, label="p50")
        waits.plot(places, [day.took.p95 for day in days], "o--", color=RED, label="p95")
        waits.set_title(words["waiting"], fontproperties=font)
        waits.set_ylabel(words["seconds"], fontproperties=font)
        ratings.bar(places, [day.up for day in days], color=GREEN, label=words["good"])
        ratings.bar(places, [-day.down for day in days], color=RED, label=words["bad"])
        ratings.axhline(0, color="black", linewidth=0.8)
        ratings.set_title(words["ratings"], fontproperties=font)
        for axes in (jobs, waits, ratings):
            axes.set_xticks(places, names)
            axes.yaxis.get_major_locator().set_params(integer=axes is not waits)
            axes.grid(axis="y", alpha=0.3)
            axes.legend(prop=font)
        waits.set_ylim(bottom=0)
        made = io.BytesIO()
        figure.savefig(made, format="png")
    return made.getvalue()
