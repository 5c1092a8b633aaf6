"""An InternVL2 checkpoint of a true shape with random weights: speed and memory without a download.

    python -m benchmarks.gpu.shapes FOLDER [--shape 2b]

Writes a complete folder: config.json, one model.safetensors in bfloat16 (2b: 4.4 GB), the modeling
code, and nano's tokenizer filled up to the vocabulary's size with words that nothing encodes to.
The rows of the output matrix that end an answer are zero, so a random model never ends early. The
sizes are those of OpenGVLab's config.json files; `tiny` is for tests on a CPU. Needs torch.
"""

import argparse
import itertools
import json
import shutil
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import nano

#: Rows of the output matrix that are zero: </s> and <|im_end|> of nano's tokenizer.
ENDS = (2, 4)
#: Standard deviation of random weights, InternLM2's own.
SPREAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of an InternVL2: vision encoder, then language model."""

    vision: int
    vision_inner: int
    vision_heads: int
    vision_layers: int
    patch: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    layers: int
    vocabulary: int
    context: int = 32768
    tiles: int = 12

    @property
    def places(self) -> int:
        """Vision tokens of a tile, with the class token."""
        return (448 // self.patch) ** 2 + 1


SHAPES: dict[str, Shape] = {
    "tiny": Shape(
        vision=64, vision_inner=128, vision_heads=2, vision_layers=2, patch=28,
        hidden=128, inner=256, heads=2, kv_heads=1, layers=2, vocabulary=1536, context=8192,
    ),
    "2b": Shape(
        vision=1024, vision_inner=4096, vision_heads=16, vision_layers=24, patch=14,
        hidden=2048, inner=8192, heads=16, kv_heads=8, layers=24, vocabulary=92553,
    ),
    "8b": Shape(
        vision=1024, vision_inner=4096, vision_heads=16, vision_layers=24, patch=14,
        hidden=4096, inner=14336, heads=32, kv_heads=8, layers=32, vocabulary=92553,
    ),
}  # fmt: skip


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
    """Every weight's name and size, and its constant value; None: random."""
    v, h = shape.vision, shape.hidden
    head = h // shape.heads
    yield "vision_model.embeddings.class_embedding", (1, 1, v), None
    yield "vision_model.embeddings.position_embedding", (1, shape.places, v), None
    yield from _linear("vision_model.embeddings.patch_embedding", (v, 3, shape.patch, shape.patch))
    for i in range(shape.vision_layers):
        at = f"vision_model.encoder.layers.{i}."
        yield from _linear(f"{at}attn.qkv", (3 * v, v))
        yield from _linear(f"{at}attn.proj", (v, v))
        yield from _linear(f"{at}mlp.fc1", (shape.vision_inner, v))
        yield from _linear(f"{at}mlp.fc2", (v, shape.vision_inner))
        for norm in ("norm1", "norm2"):
            yield f"{at}{norm}.weight", (v,), 1.0
            yield f"{at}{norm}.bias", (v,), 0.0
        yield f"{at}ls1", (v,), 0.1
        yield f"{at}ls2", (v,), 0.1
    yield "mlp1.0.weight", (4 * v,), 1.0
    yield "mlp1.0.bias", (4 * v,), 0.0
    yield from _linear("mlp1.1", (h, 4 * v))
    yield from _linear("mlp1.3", (h, h))
    yield "language_model.model.tok_embeddings.weight", (shape.vocabulary, h), None
    for i in range(shape.layers):
        at = f"language_model.model.layers.{i}."
        yield f"{at}attention.wqkv.weight", ((shape.heads + 2 * shape.kv_heads) * head, h), None
        yield f"{at}attention.wo.weight", (h, h), None
        yield f"{at}feed_forward.w1.weight", (shape.inner, h), None
        yield f"{at}feed_forward.w3.weight", (shape.inner, h), None
        yield f"{at}feed_forward.w2.weight", (h, shape.inner), None
        yield f"{at}attention_norm.weight", (h,), 1.0
        yield f"{at}ffn_norm.weight", (h,), 1.0
    yield "language_model.model.norm.weight", (h,), 1.0
    yield "language_model.output.weight", (shape.vocabulary, h), None


def _linear(
    name: str, size: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
    yield f"{name}.weight", size, None
    yield f"{name}.bias", size[:1], 0.0


def write(folder: Path, shape: Shape, seed: int = 0) -> Path:
    """Write the checkpoint folder, whole, and return it."""
    import torch
    from safetensors.torch import save_file

    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = torch.Generator(device).manual_seed(seed)
    weights = {}
    for name, size, value in tensors(shape):
        if value is not None:
            weights[name] = torch.full(size, value, dtype=torch.bfloat16)
            continue
        made = torch.empty(size, dtype=torch.bfloat16, device=device)
        weights[name] = made.normal_(0, SPREAD, generator=random).cpu()
    weights["language_model.output.weight"][list(ENDS)] = 0
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    for file in nano.MODEL.iterdir():
        if file.suffix in (".jinja", ".py") or file.name in (
            "generation_config.json",
            "preprocessor_config.json",
            "special_tokens_map.json",
        ):
            shutil.copy(file, folder / file.name)
    words = json.loads((nano.MODEL / "tokenizer_config.json").read_text("utf-8"))
    words["model_max_length"] = shape.context
    (folder / "tokenizer_config.json").write_text(json.dumps(words))
    filled = json.loads((nano.MODEL / "tokenizer.json").read_text("utf-8"))
    _fill(filled["model"]["vocab"], filled["added_tokens"], shape.vocabulary)
    (folder / "tokenizer.json").write_text(json.dumps(filled, ensure_ascii=False))
    # Last: where it is, the folder is whole.
    (folder / "config.json").write_text(json.dumps(config(shape), indent=1))
    return folder


def config(shape: Shape) -> dict[str, Any]:
    """config.json of the shape, with InternVL2's key names."""
    given: dict[str, Any] = json.loads((nano.MODEL / "config.json").read_text("utf-8"))
    given["vision_config"] |= {
        "hidden_size": shape.vision,
        "intermediate_size": shape.vision_inner,
        "num_attention_heads": shape.vision_heads,
        "num_hidden_layers": shape.vision_layers,
        "patch_size": shape.patch,
        "drop_path_rate": 0.0,
        "torch_dtype": "bfloat16",
    }
    given["llm_config"] |= {
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "num_hidden_layers": shape.layers,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "torch_dtype": "bfloat16",
    }
    return given | {"max_dynamic_patch": shape.tiles, "torch_dtype": "bfloat16"}


def _fill(vocabulary: dict[str, int], added: list[dict[str, Any]], size: int) -> None:
    """Give every free id a word of its own, so that any output decodes to some text."""
    taken = set(vocabulary.values()) | {token["id"] for token in added}
    words = ("".join(w) for n in itertools.count(3) for w in itertools.product(_LETTERS, repeat=n))
    for id_ in range(size):
        if id_ not in taken:
            vocabulary[next(w for w in words if w not in vocabulary)] = id_


_LETTERS = string.ascii_lowercase


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="2b")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write(given.folder, SHAPES[given.shape], given.seed)


if __name__ == "__main__":
    main()
