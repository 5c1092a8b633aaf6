"""Model and path-trace the sample dishes: ``python samples/render.py [DISH ...]``.

Needs Blender as a Python module (``pip install bpy==5.0.1``, Python 3.11); README.md beside this
file says more. Pictures come from shapes and noise alone, with fixed seeds.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np
import savoury
import stage
import sweet

DISHES = {
    "deviled_eggs": savoury.deviled_eggs,
    "donuts": sweet.donuts,
    "edamame": savoury.edamame,
    "french_fries": savoury.french_fries,
    "macarons": sweet.macarons,
    "pizza": savoury.pizza,
    "sushi": savoury.sushi,
    "waffles": sweet.waffles,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dish", nargs="*", default=list(DISHES), help="dishes to render (all)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="their folder")
    parser.add_argument("--pixels", type=int, default=640, help="width and height")
    parser.add_argument("--samples", type=int, default=40, help="paths a pixel, before denoising")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in options.dish:
        started = time.monotonic()
        stage.clear()
        DISHES[name](np.random.default_rng(101))
        modelled = time.monotonic()
        stage.shoot(
            options.out.resolve() / f"{name}.jpg",
            pixels=options.pixels,
            samples=options.samples,
            threads=options.threads,
        )
        seconds = modelled - started, time.monotonic() - modelled
        logging.info("%s: modelled in %.0f s, rendered in %.0f s", name, *seconds)


if __name__ == "__main__":
    main()
