"""The photographer's table: laying things on it, light, camera and the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector
from shapes import Material, Thing, lathe, mesh
from surfaces import glaze, linear

Random = np.random.Generator


def clear() -> None:
    """An empty scene, as every dish starts."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    view = bpy.context.scene.view_settings
    view.view_transform, view.exposure = "Standard", -0.8  # a phone's vivid colours


# Laying the table -----------------------------------------------------------------------------


def put(thing: Thing, at: Sequence[float], turn: Sequence[float] = (0, 0, 0)) -> Thing:
    """Place the object itself, turned by angles about x, y and z."""
    thing.location, thing.rotation_euler = at, turn
    return thing


def copy(
    thing: Thing, at: Sequence[float], turn: Sequence[float] = (0, 0, 0), size: float = 1.0
) -> Thing:
    """Another object of the same mesh."""
    other = thing.copy()
    bpy.context.collection.objects.link(other)
    other.scale = (size,) * 3
    return put(other, at, turn)


def remove(*masters: Thing) -> None:
    """Take away what was only there to be copied."""
    for thing in masters:
        bpy.data.objects.remove(thing)


def scatter(
    onto: Thing, pieces: Sequence[Thing], count: int, random: Random, *,
    lift: float = 0.0, facing: float = 0.2, size: tuple[float, float] = (0.8, 1.2),
    keep: Callable[[Vector], bool] = lambda point: True,
) -> None:  # fmt: skip
    """Strew copies where the surface's normal has z over ``facing``, lying at random angles."""
    bpy.context.view_layer.update()
    data = onto.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    data.calc_loop_triangles()
    world, spin = onto.matrix_world, onto.matrix_world.to_3x3()
    spots = [
        ([world @ data.vertices[i].co for i in t.vertices], (spin @ t.normal).normalized(), t.area)
        for t in data.loop_triangles
    ]
    spots = [spot for spot in spots if spot[1].z > facing and keep(spot[0][0])]
    weights = np.array([area for _, _, area in spots])
    for i in random.choice(len(spots), size=count, p=weights / weights.sum()):
        (a, b, c), normal, _ = spots[i]
        u, v = random.random(2).tolist()
        if u + v > 1:
            u, v = 1 - u, 1 - v
        frame = normal.to_track_quat("Z", "Y").to_matrix()
        frame @= Matrix.Rotation(random.uniform(0, 2 * math.pi), 3, "Z")
        piece = pieces[random.integers(len(pieces))]
        point = a + u * (b - a) + v * (c - a) + normal * lift
        copy(piece, point, frame.to_euler(), random.uniform(*size))


def pour(
    masters: Sequence[Thing], count: int, spread: float, step: float, random: Random
) -> list[Thing]:
    """Copies one above the other in a column of radius ``spread``, about to fall."""
    things = []
    for i in range(count):
        a, r = random.uniform(0, 2 * math.pi), spread * math.sqrt(random.random())
        turn = (*random.uniform(-0.5, 0.5, 2), random.uniform(0, 2 * math.pi))
        at = (r * math.cos(a), r * math.sin(a), 0.35 + step * i)
        things.append(copy(masters[i % len(masters)], at, turn))
    remove(*masters)
    return things


def settle(pieces: Sequence[Thing], solids: Sequence[Thing], frames: int, shape: str) -> None:
    """Let the pieces fall and come to rest on the solids as rigid bodies, then fix them there."""
    scene = bpy.context.scene
    bpy.ops.rigidbody.world_add()
    scene.rigidbody_world.substeps_per_frame = 12
    scene.rigidbody_world.point_cache.frame_end = frames
    for thing in [*pieces, *solids]:
        bpy.context.view_layer.objects.active = thing
        bpy.ops.rigidbody.object_add(type="ACTIVE" if thing in pieces else "PASSIVE")
        body = thing.rigid_body
        body.collision_shape = shape if thing in pieces else "MESH"
        body.mesh_source = "BASE"
        body.friction, body.restitution = 0.7, 0.0
        body.use_margin, body.collision_margin = True, 0.004
        body.linear_damping, body.angular_damping = 0.2, 0.5
    for frame in range(1, frames + 1):
        scene.frame_set(frame)
    now = bpy.context.evaluated_depsgraph_get()
    rest = [piece.evaluated_get(now).matrix_world.copy() for piece in pieces]
    bpy.ops.rigidbody.world_remove()
    scene.frame_set(1)
    for piece, matrix in zip(pieces, rest, strict=True):
        piece.matrix_world = matrix


def table(material: Material, turn: float) -> Thing:
    """A table top at z = 0."""
    square = [(-14, -14, 0), (14, -14, 0), (14, 14, 0), (-14, 14, 0)]
    return put(mesh("table", square, [(0, 1, 2, 3)], material), (0, 0, 0), (0, 0, turn))


def plate(radius: float, colour: str) -> Thing:
    """A dinner plate; its well is at z = 0.05."""
    profile = [
        (0, 0.0), (0.55, 0.0), (0.58, 0.02), (0.68, 0.03), (0.97, 0.13), (1, 0.15),
        (0.985, 0.165), (0.72, 0.075), (0.64, 0.05), (0.5, 0.045), (0, 0.045),
    ]  # fmt: skip
    scaled = [(radius * r, z) for r, z in profile]
    return lathe("plate", scaled, glaze("china", colour), segments=160)


# Light and camera -----------------------------------------------------------------------------


def light(strength: float) -> None:
    """A window behind on the left, a warm room in front on the right, a lamp behind."""
    lamp((-3.6, 3.4, 3.6), 3.2, 1050 * strength, "#fff1dc")
    lamp((3.8, -2.8, 3.4), 3.0, 150 * strength, "#ffd9a8")
    lamp((1.5, 4.5, 4.5), 1.6, 230 * strength, "#ffe6c4")
    world = bpy.data.worlds.new("room")
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs[0].default_value = linear("#c9b196")
    background.inputs[1].default_value = 0.33 * strength
    bpy.context.scene.world = world


def lamp(at: Sequence[float], size: float, watts: float, colour: str) -> None:
    """A square soft light turned to the middle of the table."""
    data = bpy.data.lights.new("lamp", "AREA")
    data.size, data.energy, data.color = size, watts, linear(colour)[:3]
    thing = bpy.data.objects.new("lamp", data)
    bpy.context.collection.objects.link(thing)
    put(thing, at, (-Vector(at)).to_track_quat("-Z", "Y").to_euler())


def camera(
    aim: Sequence[float], distance: float, elevation: float, azimuth: float, *,
    lens: float, focus: Sequence[float],
) -> None:  # fmt: skip
    """Look at ``aim`` from ``elevation`` degrees above the table, sharp at ``focus``."""
    e, a = math.radians(elevation), math.radians(azimuth)
    way = Vector((math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e)))
    data = bpy.data.cameras.new("camera")
    thing = bpy.data.objects.new("camera", data)
    bpy.context.collection.objects.link(thing)
    put(thing, Vector(aim) + way * distance, (-way).to_track_quat("-Z", "Y").to_euler())
    data.lens = lens
    data.dof.use_dof, data.dof.aperture_fstop = True, 0.36  # f/3.6 at a unit of 10 cm
    data.dof.focus_distance = (Vector(focus) - thing.location).dot(-way)
    bpy.context.scene.camera = thing


def shoot(path: Path, *, pixels: int, samples: int, threads: int) -> None:
    """Path-trace what the camera sees into a JPEG."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles, render = scene.cycles, scene.render
    cycles.samples, cycles.seed = samples, 7
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.025
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.max_bounces, cycles.diffuse_bounces = 8, 3
    cycles.sample_clamp_indirect = 8
    cycles.caustics_reflective = cycles.caustics_refractive = False
    render.threads_mode, render.threads = "FIXED", threads
    render.resolution_x = render.resolution_y = pixels
    render.image_settings.file_format, render.image_settings.quality = "JPEG", 88
    render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    strip_comments(path)


def strip_comments(path: Path) -> None:
    """Drop a JPEG's comment segments: Blender notes dates and times, so no two runs would agree."""
    data = path.read_bytes()
    kept, at = data[:2], 2
    while data[at + 1] != 0xDA:  # start of the picture itself
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != 0xFE:
            kept += data[at:end]
        at = end
    path.write_bytes(kept + data[at:])
