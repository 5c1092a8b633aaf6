"""What things look like: food, ceramic, wood and marble as Blender materials made of noise."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import bpy

warnings.filterwarnings("ignore", message=".*use_nodes.*", category=DeprecationWarning)

#: Settings of `surface` by name: the shader's input and its default.
SETTINGS = {
    "rough": ("Roughness", 0.5),
    "soft": ("Subsurface Weight", 0.0),
    "deep": ("Subsurface Scale", 0.05),
    "coat": ("Coat Weight", 0.0),
    "coat_rough": ("Coat Roughness", 0.08),
    "clear": ("Transmission Weight", 0.0),
    "ior": ("IOR", 1.45),
}


def surface(
    name: str,
    colours: Sequence[str],
    *,
    scale: float = 4,
    span: tuple[float, float] = (0.3, 0.7),
    distortion: float = 0,
    stretch: tuple[float, float, float] = (1, 1, 1),
    brown: float = 0,
    bumps: Sequence[tuple[float, float]] = (),
    vary: float = 0,
    **settings: float,
) -> bpy.types.Material:
    """A surface whose colours follow noise, and by share ``brown`` the mesh's own values.

    ``scale`` is the noise's waves a unit, ``span`` where on it the first and last colours lie,
    ``bumps`` are (scale, strength) pairs, ``vary`` is how far copies differ in brightness.
    """
    n = Nodes(name)
    where = n.place(stretch)
    factor = n("TexNoise", Vector=where, Scale=scale, Detail=6.0, Distortion=distortion)
    if brown:
        own = n("Attribute", out="Fac")
        own.node.attribute_name = "brown"
        weighted = n("Math", mode="MULTIPLY", _0=factor, _1=1 - brown)
        factor = n("Math", mode="MULTIPLY_ADD", _0=own, _1=brown, _2=weighted)
    colour = n.ramp(factor, colours, *span)
    if vary:
        value = n("MapRange", _0=n("ObjectInfo", out="Random"), _3=1 - vary, _4=1 + vary)
        colour = n("HueSaturation", Value=value, Color=colour)
    n.set(n.shader.inputs["Base Color"], colour)
    n.set(n.shader.inputs["Subsurface Radius"], (1.0, 0.45, 0.2))
    for key, (socket, default) in SETTINGS.items():
        n.set(n.shader.inputs[socket], settings.get(key, default))
    normal = None
    for size, strength in bumps:
        height = n("TexNoise", Vector=where, Scale=float(size), Detail=5.0)
        bump = n("Bump", Strength=strength, Distance=0.5 / size, Height=height)
        if normal is not None:
            n.set(bump.node.inputs["Normal"], normal)
        normal = bump
    if normal is not None:
        n.set(n.shader.inputs["Normal"], normal)
    return n.material


def plain(name: str, colour: str, **settings: Any) -> bpy.types.Material:
    """A surface of one colour."""
    return surface(name, [colour, colour], **settings)


def glaze(name: str, colour: str, rough: float = 0.12) -> bpy.types.Material:
    """Glazed ceramic."""
    return plain(name, colour, rough=rough, coat=0.6, bumps=[(3, 0.04)])


def wood(light: str, dark: str) -> bpy.types.Material:
    """Planks, each of its own shade, with grain, gaps and a worn varnish."""
    n = Nodes("wood")
    where = n("TexCoord", out="Object")
    board = {"_5": 0.012, "_8": 9.0, "_9": 1.3}  # gap, length, width
    black, white = "#000000", "#ffffff"
    planks = n(
        "TexBrick", Vector=where, Color1=black, Color2=white, Mortar=black, Scale=1.0, **board
    )
    shift = n("VectorMath", mode="MULTIPLY", _0=planks, _1=[9] * 3)
    moved = n("VectorMath", mode="ADD", _0=where, _1=shift)
    along = n("VectorMath", mode="MULTIPLY", _0=moved, _1=(0.5, 7, 1))
    grain = n("TexNoise", Vector=along, Scale=1.6, Detail=9.0, Distortion=1.2)
    finer = n("VectorMath", mode="MULTIPLY", _0=moved, _1=(1, 40, 1))
    fine = n("TexNoise", Vector=finer, Scale=2.0)
    coarse = n("Math", mode="MULTIPLY", _0=grain, _1=0.65)
    both = n("Math", mode="MULTIPLY_ADD", _0=fine, _1=0.35, _2=coarse)
    colour = n.ramp(both, [dark, light, dark], 0.32, 0.72)
    shade = n("MapRange", _0=planks, _3=0.75, _4=1.2)
    shaded = n("HueSaturation", Value=shade, Color=colour)
    gap = planks.node.outputs[1]
    colour = n.mix(n("Math", mode="MULTIPLY", _0=gap, _1=0.85), shaded, "#120a05")
    height = n("Math", mode="SUBTRACT", _0=both, _1=gap)
    n.set(n.shader.inputs["Base Color"], colour)
    n.set(n.shader.inputs["Roughness"], n("MapRange", _0=both, _3=0.28, _4=0.55))
    n.set(n.shader.inputs["Normal"], n("Bump", Strength=0.35, Distance=0.02, Height=height))
    return n.material


def marble() -> bpy.types.Material:
    """White marble with grey veins."""
    n = Nodes("marble")
    where = n("TexCoord", out="Object")
    warp = n("TexNoise", Vector=where, Scale=0.6, Detail=7.0, Distortion=2.0)
    vein = n("Math", mode="ABSOLUTE", _0=n("Math", mode="SUBTRACT", _0=warp, _1=0.5))
    colour = n.ramp(vein, ["#8f8a86", "#c6c2be", "#d8d5d1"], 0.0, 0.07)
    n.set(n.shader.inputs["Base Color"], colour)
    n.set(n.shader.inputs["Roughness"], 0.22)
    return n.material


class Nodes:
    """Writes a node tree as calls: ``n("TexNoise", Scale=4)`` makes a node, sets or links its
    inputs (``_0`` is the first, where names repeat) and returns its output ``out``."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.shader = self.tree.nodes["Principled BSDF"]

    def __call__(self, kind: str, *, out: int | str = 0, mode: str = "", **inputs: Any) -> Any:
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        if mode:
            node.operation = mode
        for key, value in inputs.items():
            self.set(node.inputs[int(key[1:]) if key[0] == "_" else key], value)
        return node.outputs[out]

    def set(self, socket: Any, value: Any) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        else:
            socket.default_value = linear(value) if isinstance(value, str) else value

    def ramp(self, factor: Any, colours: Sequence[str], low: float, high: float) -> Any:
        """Colours spread evenly over factors from ``low`` to ``high``."""
        out = self("ValToRGB", _0=factor)
        elements = out.node.color_ramp.elements
        while len(elements) < len(colours):
            elements.new(0.5)
        for i, colour in enumerate(colours):
            elements[i].position = low + (high - low) * i / (len(colours) - 1)
            elements[i].color = linear(colour)
        return out

    def mix(self, factor: Any, first: Any, second: Any) -> Any:
        return self("MixRGB", _0=factor, _1=first, _2=second)

    def place(self, stretch: tuple[float, float, float]) -> Any:
        """Object coordinates, shifted for each copy so that no two look alike."""
        chance = self("ObjectInfo", out="Random")
        shift = self("VectorMath", mode="MULTIPLY", _0=chance, _1=[37] * 3)
        moved = self("VectorMath", mode="ADD", _0=self("TexCoord", out="Object"), _1=shift)
        return self("VectorMath", mode="MULTIPLY", _0=moved, _1=stretch)


def linear(colour: str) -> tuple[float, float, float, float]:
    """``"#rrggbb"`` in sRGB as linear RGBA."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return r, g, b, 1.0
