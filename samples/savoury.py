"""The savoury dishes: each function lays one on the table, lights it and sets up the camera."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from shapes import (
    TAU,
    Thing,
    ball,
    box,
    grid_faces,
    lathe,
    mesh,
    paint,
    points_of,
    roughen,
    sheet,
    sweep,
)  # fmt: skip
from stage import (
    Random,
    camera,
    copy,
    light,
    plate,
    pour,
    put,
    remove,
    scatter,
    settle,
    table,
)  # fmt: skip
from surfaces import glaze, plain, surface, wood


def edamame(random: Random) -> None:
    """Boiled pods heaped in a bowl, wet and salted."""
    table(wood("#7d5230", "#3a2112"), 0.4)
    skin = surface(
        "pod", ["#5d7a34", "#8ea654", "#b9c77e"], scale=5, rough=0.3, soft=0.35, deep=0.03,
        coat=0.35, coat_rough=0.2, vary=0.22, bumps=[(60, 0.25), (14, 0.25)],
    )  # fmt: skip
    masters = []
    for i, beans in enumerate((2, 3, 3, 3, 3)):
        t = np.linspace(0, 1, 30)
        length, bend = random.uniform(0.68, 0.82), random.uniform(0.05, 0.13)
        path = np.stack([length * (t - 0.5), bend * (2 * t - 1) ** 2, 0 * t], 1)
        body = np.sin(np.pi * np.clip((t - 0.06) / 0.88, 0, 1)).clip(0) ** 0.45
        swell = np.cos((t - 0.5) * TAU * beans / 0.82) * (1 if beans % 2 else -1)
        width, squash = 0.014 + 0.08 * body * (1 + 0.08 * swell), 0.55 + 0.2 * swell * body
        pod = sweep("pod", path, width, skin, squash=squash, sides=14, levels=1)
        masters.append(roughen(pod, 5, 0.012, i))
    profile = [
        (0, 0), (0.42, 0), (0.45, 0.05), (0.8, 0.3), (0.95, 0.56),
        (0.93, 0.58), (0.78, 0.34), (0.4, 0.09), (0, 0.08),
    ]  # fmt: skip
    bowl = lathe("bowl", profile, glaze("bowl", "#efe9df"), segments=128)
    pods = pour(masters, 84, 0.5, 0.035, random)
    settle(pods, [bowl], 120, "CONVEX_HULL")
    salt(random, [pod for pod in pods if pod.location.z > 0.35], 2, facing=0.2)
    light(1.0)
    camera((0, 0, 0.5), 4.4, 48, 8, lens=80, focus=(0, -0.35, 0.65))


def salt(random: Random, things: list[Thing], count: int, *, facing: float) -> None:
    """Coarse salt, ``count`` flakes on each thing."""
    white = plain("salt", "#fbfbfb", rough=0.2, soft=0.5, deep=0.01)
    flake = box("flake", (0.018, 0.014, 0.01), white, bevel=0.002)
    for thing in things:
        scatter(thing, [flake], count, random, lift=0.003, size=(0.5, 1.2), facing=facing)
    remove(flake)


def french_fries(random: Random) -> None:
    """Fries heaped in a bowl, salted."""
    top = table(wood("#8a5c34", "#45260f"), 0.3)
    crisp = surface(
        "fry", ["#f8de90", "#f3c862", "#e3a53c", "#b26a1c"], brown=0.5, scale=4, span=(0.28, 0.85),
        rough=0.42, soft=0.3, deep=0.03, vary=0.12, coat=0.1, bumps=[(40, 0.4), (10, 0.3)],
    )  # fmt: skip
    masters = []
    for i in range(8):
        length, side = random.uniform(0.55, 0.95), random.uniform(0.085, 0.115)
        size = (length, side, side * random.uniform(0.85, 1.1))
        fry = box("fry", size, crisp, bevel=0.018, cuts=14, levels=1)
        x, y, z = points_of(fry)
        along = 2 * x / length
        edges = (np.hypot(y, z) - 0.56 * side).clip(0)
        paint(fry, 0.3 + 0.55 * np.abs(along) ** 6 + 5 * edges)
        for vertex, bend in zip(
            fry.data.vertices, random.uniform(-0.1, 0.1) * along**2, strict=True
        ):
            vertex.co.z += bend
        masters.append(roughen(fry, 6, 0.012, i))
    profile = [
        (0, 0), (0.55, 0), (0.58, 0.05), (0.95, 0.3), (1.15, 0.6),
        (1.13, 0.62), (0.92, 0.34), (0.5, 0.09), (0, 0.08),
    ]  # fmt: skip
    bowl = lathe("bowl", profile, glaze("iron", "#26282b", 0.3), segments=128)
    fries = pour(masters, 125, 0.42, 0.05, random)
    settle(fries, [bowl, top], 150, "BOX")
    fallen = [fry for fry in fries if math.hypot(*fry.location[:2]) > 1.05]
    salt(random, [fry for fry in fries if fry not in fallen], 3, facing=-1)
    remove(*fallen)
    light(0.95)
    camera((0, 0, 0.5), 4.3, 46, -6, lens=72, focus=(0, -0.35, 0.65))


def pizza(random: Random) -> None:
    """A pepperoni pizza with basil on a round board."""
    table(wood("#7d5230", "#3c2313"), 0.15)
    timber = surface(
        "board", ["#b98850", "#8a5a2c"], scale=2, stretch=(1, 9, 1), rough=0.45, bumps=[(30, 0.2)]
    )
    edge = [(0, 0), (1.66, 0), (1.7, 0.03), (1.7, 0.07), (1.67, 0.09), (0, 0.09)]
    lathe("board", edge, timber, segments=128)
    dough = surface(
        "crust", ["#f0d3a0", "#d99d4e", "#a9611f", "#3c1b0a"], brown=0.4, scale=3.2,
        span=(0.34, 0.72), rough=0.6, soft=0.15, bumps=[(30, 0.4), (8, 0.3)],
    )  # fmt: skip
    cheese = surface(
        "cheese",
        ["#a3200b", "#c4400f", "#e8962a", "#f5c95e", "#f9da86", "#e09a38", "#a04e14"],
        scale=3.4, span=(0.34, 0.74), distortion=0.6, rough=0.28, soft=0.25, deep=0.03, coat=0.35,
        coat_rough=0.15, bumps=[(16, 0.35), (5, 0.5)],
    )  # fmt: skip

    def uneven(r: Any, z: Any, a: Any) -> tuple[Any, Any]:
        blisters = 1 + 0.12 * np.sin(5 * a) + 0.1 * np.sin(9 * a + 2)
        return r * (1 + 0.012 * np.sin(3 * a + 1) + 0.008 * np.sin(8 * a)), z * blisters

    def frayed(r: Any, z: Any, a: Any) -> tuple[Any, Any]:
        return r * (1 + 0.02 * np.sin(7 * a) + 0.015 * np.sin(12 * a + 1)), z

    profile = [
        (0, 0), (1.4, 0), (1.5, 0.05), (1.52, 0.12), (1.46, 0.2),
        (1.36, 0.2), (1.27, 0.12), (1.15, 0.075), (0, 0.07),
    ]  # fmt: skip
    crust = lathe("crust", profile, dough, segments=260, bend=uneven)
    paint(crust, 0.3 + 2.2 * (points_of(crust)[2] - 0.08).clip(0))
    put(roughen(crust, 3.5, 0.05, 4), (0, 0, 0.09))
    profile = [(1.3, 0.06), (1.26, 0.11), (0.9, 0.105), (0.45, 0.11), (0, 0.11)]
    top = lathe("cheese", profile, cheese, segments=220, smooth=22, bend=frayed)
    put(roughen(top, 3.2, 0.03, 5), (0, 0, 0.09))
    slices = pepperoni(4)
    for ring, (count, radius) in enumerate([(1, 0.05), (6, 0.5), (11, 0.98)]):
        for k in range(count):
            a = TAU * (k + 0.35 * ring) / count + random.uniform(-0.12, 0.12)
            r = radius + random.uniform(-0.06, 0.06)
            turn = (*random.uniform(-0.08, 0.08, 2), random.uniform(0, TAU))
            copy(slices[k % 4], (r * math.cos(a), r * math.sin(a), 0.21), turn)
    remove(*slices)
    spots = [(-0.28, -0.22), (0.3, 0.28), (0.02, -0.74), (-0.72, 0.3), (0.72, -0.2), (0, 0.72)]
    for i, (x, y) in enumerate(spots):
        turn = (random.uniform(-0.25, 0.25), random.uniform(-0.2, 0.1), 1.9 * i)
        put(basil(0.36, 0.22), (x, y, 0.23), turn)
    dried = surface("oregano", ["#2c3f16", "#4a5a22"], rough=0.8)
    herb = ball("oregano", (0.012, 0.007, 0.004), dried, fine=5)
    scatter(top, [herb], 240, random, lift=0.004)
    remove(herb)
    light(0.9)
    camera((0, 0.02, 0.1), 5.4, 50, 5, lens=66, focus=(0, -0.4, 0.2))


def pepperoni(kinds: int) -> list[Thing]:
    """Slices that baking has cupped, their rims darker."""
    meat = surface(
        "pepperoni", ["#5e0e06", "#94190b", "#b83416", "#d0622e"], brown=0.45, scale=14,
        rough=0.42, soft=0.2, deep=0.02, coat=0.25, coat_rough=0.25, vary=0.15,
        bumps=[(30, 0.7), (9, 0.3)],
    )  # fmt: skip
    profile = [
        (0, 0), (0.12, 0), (0.19, 0.025), (0.2, 0.045), (0.18, 0.045), (0.12, 0.018), (0, 0.014),
    ]  # fmt: skip
    slices = []
    for i in range(kinds):

        def cup(r: Any, z: Any, a: Any, i: int = i) -> tuple[Any, Any]:
            return r * (1 + 0.03 * np.sin(2 * a + i)), z * (1 + 0.4 * np.sin(2 * a + 2 * i))

        slice_ = lathe("pepperoni", profile, meat, segments=48, bend=cup)
        paint(slice_, 0.75 - 12 * (points_of(slice_)[2] - 0.03).clip(0))
        slices.append(roughen(slice_, 7, 0.012, i))
    return slices


def basil(length: float, width: float) -> Thing:
    """A leaf along x, cupped and arched."""
    green = surface(
        "basil", ["#1d4a12", "#3a7a22", "#5a9a35"],
        scale=9, rough=0.35, soft=0.3, deep=0.02, bumps=[(22, 0.5)],
    )  # fmt: skip
    u, v = np.meshgrid(np.linspace(0, 1, 24), np.linspace(-1, 1, 13), indexing="ij")
    half = width / 2 * np.sin(np.pi * u**0.75).clip(0) ** 0.8
    arch = 0.12 * length * np.sin(np.pi * u) + 0.012 * np.sin(14 * u) * np.abs(v)
    points = np.stack([u * length, half * v, 0.35 * half * np.abs(v) ** 1.5 + arch], -1)
    return mesh("basil", points, grid_faces(24, 13), green, levels=1)


def sushi(random: Random) -> None:
    """Salmon and tuna nigiri in front of maki, on a platter with wasabi and ginger."""
    table(wood("#8a5c34", "#45260f"), 0.1)
    platter = box("platter", (3.3, 2.3, 0.1), glaze("china", "#f1ede6"), bevel=0.04)
    put(platter, (0.05, 0.1, 0.05), (0, 0, 0.06))
    white = surface(
        "rice", ["#efe8da", "#fbf8f0"], rough=0.35, soft=0.5, deep=0.03, coat=0.15, vary=0.05
    )
    grain = ball("grain", (0.045, 0.02, 0.02), white, fine=8)
    wet = {"brown": 1, "span": (0, 1), "rough": 0.25, "soft": 0.35, "deep": 0.04, "coat": 0.5}
    salmon = surface("salmon", ["#ee7a3c", "#f28a4c", "#f9c59c", "#ef7f42"], **wet)
    tuna = surface("tuna", ["#a3182a", "#b7263a", "#cf5560", "#a81c2e"], **wet)
    for i, (fish, stripes) in enumerate(
        [(salmon, 0.55), (salmon, 0.55), (tuna, 0.25), (salmon, 0.55), (salmon, 0.55)]
    ):
        at, turn = (-1 + 0.5 * i, -0.48 + 0.03 * i, 0.22), (0, 0, 1.25)
        bed = box("bed", (0.66, 0.32, 0.26), white, bevel=0.11, cuts=4, levels=1)
        scatter(put(bed, at, turn), [grain], 330, random, facing=-0.6, size=(0.85, 1.1))
        put(fillet(fish, stripes, i), at, turn)
    fish, cucumber, avocado, egg, red = "#f2803f", "#6d9a3a", "#86ab4a", "#e9efcf", "#b3243a"
    fillings = [(fish, cucumber), (fish,), (avocado, egg), (red,), (fish, cucumber)]
    for i in range(5):
        maki(random, (-1.05 + 0.53 * i, 0.3 + 0.02 * i), fillings[i], white, grain)
    for i in range(4):
        maki(random, (-0.78 + 0.53 * i, 0.82 + 0.02 * i), fillings[(i + 2) % 5], white, grain)
    remove(grain)
    paste = surface("wasabi", ["#8fae4a", "#a9c463"], rough=0.6, soft=0.3, bumps=[(22, 0.6)])
    put(roughen(ball("wasabi", (0.17, 0.15, 0.13), paste), 6, 0.05, 3), (1.38, -0.75, 0.17))
    pickle = surface("ginger", ["#f2c6b4", "#f7dcc6"], rough=0.25, soft=0.5, coat=0.4)
    u, v = sheet(20)
    for i in range(5):
        z = 0.05 * np.sin(3 * u + 2 * v + i) + 0.05 * np.cos(4 * v + i) + 0.06
        points = np.stack([0.2 * u, 0.13 * v * (1 - 0.3 * u**2), z], -1)
        at = (1.4 + 0.05 * math.cos(2 * i), 0.55 + 0.1 * math.sin(2 * i), 0.11 + 0.025 * i)
        petal = mesh("ginger", points, grid_faces(20, 20), pickle, levels=1)
        put(petal, at, (0.2, 0, 1.3 * i))
    light(0.8)
    camera((0.02, 0.12, 0.15), 4.75, 44, -14, lens=68, focus=(0, -0.3, 0.3))


def fillet(fish: Any, stripes: float, seed: int) -> Thing:
    """A slab of fish draped over nigiri's rice, its fat in oblique lines."""
    u, v = np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 26), indexing="ij")
    drop = 0.11 * np.abs(u) ** 2.6 + 0.05 * np.abs(v) ** 3
    thick = 0.055 * np.sqrt(1 - np.maximum(np.abs(u), np.abs(v)) ** 8)
    half = 0.185 * (1 - 0.22 * np.abs(u) ** 3)
    points = np.stack([0.43 * u * (1 - 0.06 * v**2), half * v, 0.165 - drop + thick], -1)
    bow = u + 0.45 * v + 0.25 * v**2
    lines = 0.5 + 0.5 * np.sin(24 * bow + 0.8 * np.sin(4 * u + seed))
    faces = [f[::-1] for f in grid_faces(60, 26)]
    slab = mesh("fillet", points, faces, fish, brown=0.1 + stripes * lines**3, levels=1)
    return roughen(slab, 3, 0.02, seed)


def maki(
    random: Random, at: tuple[float, float], fillings: tuple[str, ...], white: Any, grain: Thing
) -> None:
    """A roll standing on end: nori, rice, and fillings in the middle."""
    x, y = at
    nori = surface("nori", ["#0a0f0b", "#16211a"], scale=14, rough=0.4, coat=0.2, bumps=[(35, 0.6)])
    wrap = [(0, 0), (0.235, 0), (0.25, 0.02), (0.25, 0.28), (0.238, 0.285), (0.232, 0.25)]
    put(roughen(lathe("nori", wrap, nori, segments=64, smooth=3), 5, 0.012, x + y), (x, y, 0.1))
    face = lathe("face", [(0.235, 0.255), (0.1, 0.26), (0, 0.26)], white, segments=48)
    put(face, (x, y, 0.1))

    def inside(point: Any) -> bool:
        return math.hypot(point.x - x, point.y - y) < 0.22

    scatter(face, [grain], 120, random, lift=0.006, size=(0.8, 1.05), keep=inside)
    turn = random.uniform(0, TAU)
    for k, colour in enumerate(fillings):
        a = turn + TAU * k / len(fillings)
        core = plain("core", colour, rough=0.25, soft=0.4, deep=0.04, coat=0.4, bumps=[(20, 0.3)])
        piece = roughen(box("core", (0.14, 0.13, 0.2), core, bevel=0.03, levels=1), 6, 0.02, k + x)
        put(piece, (x + 0.07 * math.cos(a), y + 0.07 * math.sin(a), 0.295), (0, 0, a))


def deviled_eggs(random: Random) -> None:
    """Egg halves with piped yolk, paprika and chives on a plate."""
    table(wood("#6e4526", "#31190c"), 0.6)
    plate(1.75, "#8fa6b2")
    white = surface(
        "white", ["#f4efe6", "#fbf8f2"],
        rough=0.25, soft=0.6, deep=0.06, coat=0.35, bumps=[(6, 0.06)],
    )  # fmt: skip
    yolk = surface(
        "yolk", ["#fbc62a", "#ffdf55"], rough=0.45, soft=0.4, deep=0.04, bumps=[(45, 0.25)]
    )
    red = surface("paprika", ["#a8240c", "#c8441a"], rough=0.8)
    green = surface("chive", ["#3a7a1c", "#5f9f34"], rough=0.4)
    spice = ball("paprika", (0.008, 0.008, 0.005), red, fine=5)
    tube = [(0.016, 0), (0.016, 0.03), (0.011, 0.03), (0.011, 0)]
    chive = lathe("chive", tube, green, segments=16, smooth=2)
    shell = np.linspace(-np.pi / 2, 0, 12)
    half = list(zip(0.36 * np.cos(shell), 0.27 + 0.27 * np.sin(shell), strict=True))
    t = np.linspace(0, 1, 240)
    turns, r = TAU * 2.6 * t, 0.19 * (1 - t) ** 0.8
    path = np.stack([1.25 * r * np.cos(turns), r * np.sin(turns), 0.3 + 0.24 * t], 1)
    width = 0.1 * (1 - 0.5 * t) * np.clip((1 - t) / 0.06, 0.08, 1) ** 0.6
    for i in range(7):
        a = 0.3 + TAU * i / 6
        x, y, z = (math.cos(a), math.sin(a) + 0.02, 0.075) if i < 6 else (0, 0.05, 0.055)
        place = (x, y, z), (random.uniform(-0.06, 0.06), 0, a + random.uniform(-0.15, 0.15))
        hollow = [(0.345, 0.285), (0.24, 0.275), (0.2, 0.22), (0, 0.2)]
        egg = put(lathe("white", [*half, *hollow], white, segments=72, smooth=3), *place)
        for vertex in egg.data.vertices:
            vertex.co.x *= 1.22 + 0.18 * vertex.co.x  # one end blunter than the other
        put(lathe("core", [(0, 0.2), (0.2, 0.25), (0.15, 0.4), (0, 0.48)], yolk), *place)
        swirl = put(sweep("yolk", path, width, yolk, sides=56, star=0.16, ribs=8), *place)
        scatter(swirl, [spice], 160, random, lift=0.002, size=(0.5, 1.6))
        scatter(swirl, [chive], 9, random, lift=0.004, facing=0.3)
    remove(spice, chive)
    light(0.8)
    camera((0, 0, 0.14), 4.75, 44, 10, lens=66, focus=(0, -0.3, 0.35))
