"""What matplotlib draws reads as well as memes and cards do."""

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image, ImageDraw

from foodcritic.drawing import fonts, labels
from training import plots

DISH = "麻婆豆腐"


def test_chinese_in_a_plot_is_as_black_as_on_a_card() -> None:
    """matplotlib opened Noto Sans CJK at its thinnest, and drew half the ink."""
    known = list(fontManager.ttflist)
    with labels.families(f"{DISH} Pho ไทย") as names:
        assert names == ["Noto Sans", "Noto Sans CJK SC", "Noto Sans Thai", "DejaVu Sans"]
        figure = Figure(figsize=(4, 1), dpi=72)
        FigureCanvasAgg(figure)
        figure.text(0.1, 0.3, DISH, family=names, size=48)
        file = io.BytesIO()
        figure.savefig(file)
    assert list(fontManager.ttflist) == known
    drawn = Image.open(file).convert("L")
    card = Image.new("L", drawn.size, "white")
    face = next(face for face in fonts.chain("text", "zh") if fonts.covers(face, DISH[0]))
    ImageDraw.Draw(card).text((30, 10), DISH, "black", font=fonts.font(face, 48))
    ink, expected = (int((255 - np.asarray(image, dtype=int)).sum()) for image in (drawn, card))
    assert 0.9 < ink / expected < 1.1


def test_a_count_has_no_ticks_between_whole_numbers_and_nothing_has_no_axis() -> None:
    """A dataset of two conversations had 0.25 of one."""
    figure = Figure()
    FigureCanvasAgg(figure)
    some, none = figure.subplots(1, 2)
    plots._bars(some, "kinds", {"question": 2})
    plots._bars(none, "dishes (0)", {})
    assert {float(tick) % 1 for tick in some.get_xticks()} == {0}
    assert (none.axison, [text.get_text() for text in none.texts]) == (False, ["none named"])
