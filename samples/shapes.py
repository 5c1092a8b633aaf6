"""Shapes that food and dishes are made of, as Blender meshes.

One unit is 10 cm, z points up. A shape may carry a value per point, ``brown``, which its surface
follows: how baked a crust is there, where salmon is striped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bpy
import numpy as np
from mathutils import Vector, noise

TAU = 2 * np.pi

Thing = bpy.types.Object
Material = bpy.types.Material
#: (radius, height) pairs.
Profile = Sequence[tuple[float, float]]
#: (radius, height, angle) to the new radius and height.
Bend = Callable[[Any, Any, Any], tuple[Any, Any]]


def mesh(
    name: str, points: Any, faces: Any, material: Material, *, levels: int = 0, brown: Any = None
) -> Thing:
    """Points (..., 3) and faces as an object in the scene, ``levels`` times subdivided."""
    data = bpy.data.meshes.new(name)
    data.from_pydata(np.reshape(points, (-1, 3)).tolist(), [], list(faces))
    data.materials.append(material)
    data.shade_smooth()
    thing = bpy.data.objects.new(name, data)
    bpy.context.collection.objects.link(thing)
    if brown is not None:
        paint(thing, brown)
    return divide(thing, levels)


def divide(thing: Thing, levels: int) -> Thing:
    if levels:
        modifier = thing.modifiers.new("divide", "SUBSURF")
        modifier.levels = modifier.render_levels = levels
    return thing


def paint(thing: Thing, brown: Any) -> Thing:
    """Write the value per point. (Cycles keeps the name "heat" for itself.)"""
    attribute = thing.data.attributes.new("brown", "FLOAT", "POINT")
    attribute.data.foreach_set("value", np.ravel(brown).astype(np.float32))
    return thing


def points_of(thing: Thing) -> Any:
    """The mesh's points as (x, y, z) arrays."""
    return np.array([v.co for v in thing.data.vertices]).T


def grid_faces(
    rows: int, columns: int, *, wrap: bool = False, closed: bool = False
) -> list[tuple[int, ...]]:
    """The quads of a grid; ``wrap`` joins the last column to the first, ``closed`` the rows."""
    corners = ((0, 0), (0, 1), (1, 1), (1, 0))
    return [
        tuple((r + i) % rows * columns + (c + j) % columns for i, j in corners)
        for r in range(rows if closed else rows - 1)
        for c in range(columns if wrap else columns - 1)
    ]


def sheet(size: int) -> tuple[Any, Any]:
    """Coordinates (u, v) from -1 to 1 of a square grid."""
    u, v = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    return u, v


def lathe(
    name: str, profile: Profile, material: Material, *,
    segments: int = 96, smooth: int = 8, bend: Bend | None = None,
) -> Thing:  # fmt: skip
    """Turn a profile about z, with ``smooth`` points from one of its points to the next.

    ``bend`` flutes or ruffles it. A body's profile goes from its bottom centre outwards and up, a
    flat sheet's from its rim in, so that normals point out.
    """
    r, z = curve(profile, smooth)
    angle = np.linspace(0, TAU, segments, endpoint=False)
    r, z, a = np.broadcast_arrays(r[:, None], z[:, None], angle[None])
    if bend:
        r, z = bend(r, z, a)
    points = np.stack([r * np.cos(a), r * np.sin(a), z], -1)
    return mesh(name, points, grid_faces(*a.shape, wrap=True), material)


def curve(profile: Profile, steps: int) -> tuple[Any, Any]:
    """A Catmull-Rom curve through the profile's points: radii, heights."""
    p = np.array([profile[0], *profile, profile[-1]], float)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None] ** np.arange(4)
    spline = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    parts = [t @ spline @ p[i : i + 4] for i in range(len(p) - 3)]
    r, z = np.concatenate([*parts, p[-1:]]).T
    return np.maximum(r, 1e-4), z


def sweep(
    name: str, path: Any, radii: Any, material: Material, *,
    sides: int = 16, squash: Any = 1.0, star: float = 0.0, ribs: int = 6, levels: int = 0,
) -> Thing:  # fmt: skip
    """A tube along ``path`` (n, 3) of ``radii`` (n,): ``squash`` flattens, ``star`` ribs it."""
    ahead = np.gradient(path, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    side = np.cross(ahead, [0.0, 0.0, 1.0])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6)
    up = np.cross(side, ahead)
    a = np.linspace(0, TAU, sides, endpoint=False)
    wide = np.asarray(radii, float)[:, None] * (1 + star * np.cos(ribs * a))
    high = np.broadcast_to(np.asarray(squash, float), (len(path),))[:, None] * wide
    ring = (wide * np.cos(a))[..., None] * side[:, None] + (high * np.sin(a))[..., None] * up[
        :, None
    ]
    faces = [f[::-1] for f in grid_faces(len(path), sides, wrap=True)]
    last = (len(path) - 1) * sides
    caps = [tuple(range(sides)), tuple(range(last + sides - 1, last - 1, -1))]
    return mesh(name, path[:, None] + ring, [*faces, *caps], material, levels=levels)


def ball(name: str, size: Sequence[float], material: Material, *, fine: int = 24) -> Thing:
    """An ellipsoid with half-axes ``size``."""
    a = np.linspace(-np.pi / 2, np.pi / 2, fine)
    profile = list(zip(np.cos(a), np.sin(a), strict=True))
    thing = lathe(name, profile, material, segments=2 * fine, smooth=1)
    for vertex in thing.data.vertices:
        vertex.co *= Vector(size)
    return thing


def box(
    name: str, size: Sequence[float], material: Material, *,
    bevel: float = 0.02, cuts: int = 1, levels: int = 0,
) -> Thing:  # fmt: skip
    """A box with sides ``size``, its edges rounded, its length cut into ``cuts``."""
    x, y, z = (s / 2 for s in size)
    square = [(-y, -z), (y, -z), (y, z), (-y, z)]
    points = [(-x + 2 * x * i / cuts, *s) for i in range(cuts + 1) for s in square]
    faces = [f[::-1] for f in grid_faces(cuts + 1, 4, wrap=True)]
    end = 4 * cuts
    thing = mesh(name, points, [*faces, (0, 1, 2, 3), (end + 3, end + 2, end + 1, end)], material)
    rounding = thing.modifiers.new("round", "BEVEL")
    rounding.width, rounding.segments = bevel, 3
    rounding.limit_method, rounding.angle_limit = "ANGLE", 0.8
    divide(thing, levels)
    final = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
    done = bpy.data.meshes.new_from_object(final)
    thing.modifiers.clear()
    thing.data = done
    done.shade_smooth()
    return thing


def roughen(thing: Thing, scale: float, amount: float, seed: float) -> Thing:
    """Move the points along their normals by noise of ``scale`` waves a unit."""
    shift = Vector((seed * 7.3, seed * 3.1, seed * 1.7))
    normals = [v.normal.copy() for v in thing.data.vertices]
    for vertex, normal in zip(thing.data.vertices, normals, strict=True):
        height = noise.fractal(vertex.co * scale + shift, 1.0, 2.0, 4)
        vertex.co += normal * height * amount
    return thing
