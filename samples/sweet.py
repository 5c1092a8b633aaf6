"""The sweet dishes: each function lays one on the table, lights it and sets up the camera."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mathutils import Euler, Matrix, Vector
from shapes import (
    TAU,
    Material,
    Thing,
    ball,
    box,
    grid_faces,
    lathe,
    mesh,
    roughen,
    sweep,
)  # fmt: skip
from stage import Random, camera, copy, light, plate, put, remove, scatter, table
from surfaces import marble, plain, surface, wood


def donuts(random: Random) -> None:
    """Glazed rings with icing and sprinkles on a plate."""
    table(marble(), 0.7)
    plate(1.75, "#f4f1ec")
    dough = surface(
        "dough", ["#8f4f1a", "#b9762f", "#e6bd7a"], brown=0.75, scale=6, span=(0.15, 0.85),
        rough=0.6, soft=0.25, bumps=[(40, 0.3), (9, 0.15)],
    )  # fmt: skip
    wet = {"scale": 5, "rough": 0.25, "soft": 0.3, "deep": 0.02, "coat": 0.7, "bumps": [(7, 0.1)]}
    pink, chocolate, white, caramel, strawberry = (
        surface(f"icing {i}", colours, **wet)
        for i, colours in enumerate(
            [
                ("#e8799c", "#f08db0"),
                ("#2f150a", "#3d1e10"),
                ("#f5ece0", "#faf4ea"),
                ("#b8742c", "#c98a3c"),
                ("#d94f78", "#e2648a"),
            ]
        )
    )
    line = np.linspace([-0.035, 0, 0], [0.035, 0, 0], 6)
    ends = [0.005, 0.011, 0.012, 0.012, 0.011, 0.005]
    candy = [
        sweep("sprinkle", line, ends, plain(colour, colour, rough=0.25, coat=0.3), sides=8)
        for colour in ("#ffffff", "#f7d21e", "#2f9be0", "#e83a3a", "#58b947", "#f08a24")
    ]
    for seed, icing, at, turn, strewn in [
        (1, pink, (-0.62, -0.5, 0.24), (0.02, 0, 0.3), 110),
        (2, chocolate, (0.66, -0.42, 0.24), (0, 0.03, 1.4), 100),
        (3, caramel, (-0.68, 0.72, 0.24), (0, 0, 2.0), 0),
        (4, white, (0.62, 0.78, 0.24), (0.03, 0, 0.9), 120),
        (5, strawberry, (0.02, 0.2, 0.6), (0.22, -0.14, 2.7), 90),
    ]:
        ring, coat = donut(dough, icing, seed)
        put(ring, at, turn)
        put(coat, at, turn)
        if strewn:
            scatter(coat, candy, strewn, random, lift=0.008, facing=0.1)
    remove(*candy)
    light(0.62)
    camera((0, 0.1, 0.25), 5.2, 46, 6, lens=66, focus=(0, -0.3, 0.5))


def donut(dough: Material, icing: Material, seed: int) -> tuple[Thing, Thing]:
    """A ring with the pale band that frying leaves round it, and icing that runs down unevenly."""
    u = np.linspace(0, TAU, 120, endpoint=False)[:, None]
    v = np.linspace(0, TAU, 48, endpoint=False)[None]

    def around(v: Any, grow: Any) -> Any:
        wobble = 1 + 0.035 * np.sin(2 * u + seed) + 0.02 * np.sin(3 * u + 2 * seed)
        thick = 0.225 + grow
        r = 0.4 * wobble + thick * np.cos(v)
        return np.stack([r * np.cos(u), r * np.sin(u), 0.8 * thick * np.sin(v) + 0 * r], -1)

    band = 0.35 + 0.6 * np.exp(-((np.sin(v) + 0.08) ** 2) / 0.025) * (np.cos(v) > 0)
    points = around(v, 0)
    faces = [f[::-1] for f in grid_faces(120, 48, wrap=True, closed=True)]
    ring = mesh("ring", points, faces, dough, levels=1, brown=band + 0 * u)
    t = np.linspace(0, 1, 26)[None]
    waves = 0.16 * np.sin(3 * u + seed) * np.sin(5 * u + 2 * seed) + 0.05 * np.sin(11 * u)
    low = 0.12 + waves
    over = around(low + (math.pi - 0.25 - low) * t, 0.042 * np.sin(np.pi * t) ** 0.35 - 0.012)
    faces = [f[::-1] for f in grid_faces(120, 26, closed=True)]
    coat = mesh("icing", over, faces, icing, levels=1)
    return roughen(ring, 4, 0.03, seed), roughen(coat, 4, 0.03, seed)


def macarons(random: Random) -> None:
    """Macarons of seven colours, stacked and leaning."""
    table(marble(), 0.7)
    plate(1.75, "#f6f3ee")
    rose, pistachio, lemon, chocolate, violet, orange, mint = (
        macaron(i, shell, cream)
        for i, (shell, cream) in enumerate(
            [
                ("#e58aa0", "#b83a58"),
                ("#a9c77a", "#f3ead2"),
                ("#f1cf6a", "#f8eecb"),
                ("#6f4528", "#2c140a"),
                ("#b49ad0", "#efe4f2"),
                ("#ef9f62", "#f6dcb6"),
                ("#8cc6c4", "#f4efe4"),
            ]
        )
    )
    first, second, third = 0.34, 0.925, 1.51  # the storeys' middles
    for parts, at, tilt, turn in [
        (pistachio, (-0.72, 0.62, first), 0, 0),
        (chocolate, (0.02, 0.78, first), 0, 0),
        (violet, (0.76, 0.58, first), 0, 0),
        (lemon, (-0.36, 0.68, second), 0.06, 1),
        (orange, (0.4, 0.68, second), 0.05, 2),
        (rose, (0.02, 0.7, third), 0.05, 0.5),
        (rose, (-0.8, -0.12, first), 0, 0),
        (mint, (0.84, -0.14, first), 0, 0),
        (lemon, (0.1, 0.05, 0.42), 1.12, 0.1),
        (violet, (-0.42, -0.72, first), 0, 0),
        (pistachio, (0.42, -0.62, 0.42), 1.15, 0.5),
    ]:
        spin = Matrix.Rotation(random.uniform(0, TAU), 4, "Z")
        lean = Matrix.Rotation(turn, 4, "Z") @ Matrix.Rotation(tilt, 4, "X")
        for part in parts:
            own = part.rotation_euler.to_matrix().to_4x4()
            copy(part, at).matrix_world = Matrix.Translation(at) @ lean @ spin @ own
    for parts in (rose, pistachio, lemon, chocolate, violet, orange, mint):
        remove(*parts)
    light(0.6)
    camera((0, 0.1, 0.68), 5.4, 36, -8, lens=68, focus=(0, -0.3, 0.5))


def macaron(seed: int, shell: str, cream: str) -> list[Thing]:
    """Two smooth domes, each on its ruffled foot, with cream between; the middle at z = 0."""
    smooth = plain("shell", shell, rough=0.55, soft=0.25, deep=0.03, bumps=[(70, 0.12), (12, 0.06)])
    crumbly = plain("foot", shell, rough=0.8, soft=0.25, deep=0.03, bumps=[(38, 1), (90, 0.6)])
    filling = plain("cream", cream, rough=0.45, soft=0.4, deep=0.04, bumps=[(18, 0.3)])
    dome = [(0.335, 0.125), (0.35, 0.15), (0.335, 0.2), (0.27, 0.255), (0.15, 0.285), (0, 0.292)]
    foot = [(0.28, 0.068), (0.34, 0.072), (0.352, 0.1), (0.345, 0.128), (0.3, 0.13)]

    def ruffle(r: Any, z: Any, a: Any) -> tuple[Any, Any]:
        fine = 0.012 * np.sin(37 * a) * np.sin(61 * a) + 0.006 * np.sin(90 * a)
        return r + fine, z + 0.006 * np.sin(29 * a)

    parts = []
    for turn in ((0, 0, 0), (math.pi, 0, 0.7)):
        for part in (
            lathe("dome", dome, smooth, segments=64),
            lathe("foot", foot, crumbly, segments=220, bend=ruffle),
        ):
            parts.append(put(roughen(part, 4, 0.008, seed), (0, 0, 0), turn))
    profile = [(0, -0.08), (0.28, -0.08), (0.318, 0.0), (0.28, 0.08), (0, 0.08)]
    return [*parts, roughen(lathe("cream", profile, filling, segments=90), 5, 0.02, seed)]


def waffles(random: Random) -> None:
    """A round waffle with butter, syrup in its wells, sugar and berries."""
    table(wood("#8a5a34", "#472815"), 0.9)
    plate(1.5, "#f3efe8")
    top = put(waffle(2), (0, 0, 0.07), (0, 0, 0.25))
    syrup = surface("syrup", ["#9a4a0c", "#b9661a"], rough=0.06, clear=0.75, coat=0.2, ior=1.4)

    def run(r: Any, z: Any, a: Any) -> tuple[Any, Any]:
        return r * (1 + 0.16 * np.sin(3 * a + 1) + 0.1 * np.sin(5 * a)), z

    pool = lathe("syrup", [(0.8, -0.03), (0.78, 0), (0.4, 0), (0, 0)], syrup, bend=run)
    put(pool, (0, 0, 0.215), (0, 0, 0.25))
    fat = surface(
        "butter", ["#f7dd7c", "#fbe795"],
        rough=0.3, soft=0.6, deep=0.08, coat=0.4, bumps=[(9, 0.12)],
    )  # fmt: skip
    pat = roughen(box("butter", (0.36, 0.34, 0.13), fat, bevel=0.05, levels=1), 4, 0.02, 3)
    put(pat, (0, 0.02, 0.35), (0.06, 0.05, 0.5))
    oil = surface("melted", ["#f0b63c", "#f4c550"], rough=0.08, soft=0.3, coat=1.0)
    put(lathe("melted", [(0.3, 0), (0.2, 0.016), (0, 0.02)], oil, bend=run), (0, 0.02, 0.27))
    sugar = ball("sugar", (0.008, 0.008, 0.006), plain("sugar", "#ffffff", rough=0.9), fine=6)
    scatter(top, [sugar], 900, random, size=(0.25, 0.8))
    remove(sugar)
    blueberries(random, [(1.12, -0.55), (1.27, -0.3), (1.02, -0.8), (1.2, 0.02)])
    raspberries(random, [(-1.12, -0.62), (-1.25, -0.32)])
    light(0.8)
    camera((0, 0, 0.12), 4.6, 50, -8, lens=68, focus=(0, -0.3, 0.25))


def waffle(seed: int) -> Thing:
    """A disc with square wells, a rim and a wide cross; its ridges browner than its wells."""
    batter = surface(
        "batter", ["#efc373", "#dd9a3e", "#b8661c", "#7c3a0e"], brown=0.6, scale=3.0,
        span=(0.32, 0.8), rough=0.5, soft=0.15, bumps=[(45, 0.35), (12, 0.2)],
    )  # fmt: skip
    a = np.linspace(0, TAU, 420, endpoint=False)[:, None]
    q = np.linspace(0, 1, 180)[None]
    r = 1.08 * q * (1 + 0.012 * np.sin(3 * a + seed) + 0.008 * np.sin(7 * a))
    x, y = r * np.cos(a), r * np.sin(a)

    def wall(t: Any, pitch: float, half: float, slope: float) -> Any:
        near = np.abs((t / pitch + 0.5) % 1 - 0.5) * pitch
        return 1 - np.clip((near - half) / slope, 0, 1)

    fine = np.maximum(wall(x, 0.24, 0.022, 0.045), wall(y, 0.24, 0.022, 0.045))
    cross = 0.9 * np.maximum(wall(x, 9, 0.045, 0.03), wall(y, 9, 0.045, 0.03))
    ridge = np.maximum.reduce([fine, cross, np.clip((q - 0.93) / 0.02, 0, 1) + 0 * r])
    ridge = ridge * ridge * (3 - 2 * ridge)
    z = 0.08 + 0.11 * ridge - 0.19 * np.clip((q - 0.965) / 0.035, 0, 1) ** 2.5
    patches = 0.14 * np.sin(3 * x + seed) * np.sin(2.5 * y)
    brown = 0.26 + 0.44 * ridge + 0.12 * (1 - q) + patches
    points, faces = np.stack([x, y, z], -1), grid_faces(420, 180, closed=True)
    return roughen(mesh("waffle", points, faces, batter, brown=brown), 3, 0.022, seed)


def blueberries(random: Random, places: list[tuple[float, float]]) -> None:
    """Blueberries with their crowns, at (x, y) places."""
    skin = surface(
        "blueberry", ["#1c2344", "#3a4674", "#6d7ba6"],
        scale=6, span=(0.25, 0.85), rough=0.45, bumps=[(30, 0.1)],
    )  # fmt: skip
    profile = [
        (0, -0.105), (0.08, -0.085), (0.13, 0.0), (0.1, 0.085),
        (0.055, 0.115), (0.045, 0.12), (0.035, 0.095), (0, 0.09),
    ]  # fmt: skip
    for x, y in places:
        berry = lathe("blueberry", profile, skin, segments=40)
        put(berry, (x, y, 0.2), random.uniform(-0.9, 0.9, 3))


def raspberries(random: Random, places: list[tuple[float, float]]) -> None:
    """Raspberries made of drupelets, at (x, y) places."""
    red = surface("drupe", ["#a80f2a", "#cf2440"], rough=0.25, soft=0.5, coat=0.3, vary=0.15)
    drupe = ball("drupelet", (0.04, 0.04, 0.04), red, fine=10)
    for x, y in places:
        turn = Euler(random.uniform(-1, 1, 3)).to_matrix()
        for level, count in enumerate((11, 11, 10, 8, 5, 1)):
            r = 0.125 * math.sqrt(max(0.0, 1 - (0.17 * level + 0.1) ** 2.4)) if level < 5 else 0
            for k in range(count):
                a = TAU * (k + 0.5 * level) / count
                at = Vector((r * math.cos(a), r * math.sin(a), 0.044 * level - 0.08))
                copy(drupe, turn @ at + Vector((x, y, 0.2)), size=random.uniform(0.9, 1.08))
    remove(drupe)
