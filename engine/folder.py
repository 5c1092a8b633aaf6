"""What a model folder says about itself, ours or optimum-intel's."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import text, tiling
from engine.text import read
from foodcritic import dialogue
from foodcritic.errors import ModelError

#: A model below this size runs exactly, in 32 bits; a larger one as OpenVINO finds best.
EXACT_BELOW = 256 * 2**20
#: Photos in one question, for a model that takes several and does not say how many: an album's.
PHOTOS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the engine must know of a model."""

    #: Pixels a side of a tile.
    size: int
    #: Tokens a tile becomes.
    tokens: int
    #: Vision patches in a tile.
    patches: int
    #: Tiles a photo may be cut into, without the thumbnail.
    tiles: int
    thumbnail: bool
    #: Ids the language model knows.
    vocabulary: int
    #: Tokens that prompt and answer may take together.
    context: int
    #: Ids that end an answer.
    ends: frozenset[int]
    #: The id in whose places picture tokens go.
    picture: int
    photos_per_question: int
    #: Earlier turns that it learnt to go on from; foodcritic.json.
    turns: int
    #: Candidates below this probability are doubt; foodcritic.json, 0 where it says nothing.
    unsure_below: float
    #: Divides the logits when candidates are weighed, so that probabilities are honest.
    temperature: float
    #: Mean and deviation of a channel, of 1.
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def photo_tokens(self, photos: int, tiles: int) -> int:
        """Tokens of so many photos that share so many tiles, each with its thumbnail."""
        share = max(1, tiles // max(1, photos))
        return photos * (share + (self.thumbnail and share > 1)) * self.tokens


class Described:
    """What an `engine.Engine` says of itself and its folder knows."""

    _name: str
    _shape: Shape

    @property
    def model(self) -> str:
        return self._name

    @property
    def photos_per_question(self) -> int:
        return self._shape.photos_per_question

    @property
    def turns(self) -> int:
        return self._shape.turns

    @property
    def continues(self) -> bool:
        return True

    @property
    def unsure_below(self) -> float:
        return self._shape.unsure_below


def shape(folder: Path, tokenizer: text.Tokenizer) -> Shape:
    """Read the folder's JSON files.

    Raises:
        ModelError: it is no InternVL2, or a file is missing or broken.
    """
    config, ours = read(folder / "config.json"), read(folder / "foodcritic.json")
    pixels, generation = (read(folder / f"{n}_config.json") for n in ("preprocessor", "generation"))
    try:
        vit, llm = config["vision_config"], config["llm_config"]
        size = int(config.get("force_image_size") or vit["image_size"])
        patches = (size // int(vit["patch_size"])) ** 2
        tiles = int(config.get("max_dynamic_patch", 12)) if config["dynamic_image_size"] else 1
        ends = generation.get("eos_token_id", llm.get("eos_token_id", []))
        found = Shape(
            size=size,
            tokens=round(patches * float(config["downsample_ratio"]) ** 2),
            patches=patches,
            tiles=tiles,
            thumbnail=bool(config.get("use_thumbnail", True)),
            vocabulary=int(llm["vocab_size"]),
            context=int(llm["max_position_embeddings"]),
            ends=frozenset([ends] if isinstance(ends, int) else ends) | _ends(tokenizer, llm),
            picture=_one(tokenizer, text.CONTEXT, folder),
            photos_per_question=int(ours.get("photos_per_question", 1 if tiles == 1 else PHOTOS)),
            turns=int(ours.get("turns", dialogue.LONGEST)),
            unsure_below=float(ours.get("unsure_below", 0.0)),
            temperature=float(ours.get("temperature", 1.0)),
            mean=tuple(map(float, pixels.get("image_mean", tiling.MEAN))),
            std=tuple(map(float, pixels.get("image_std", tiling.STD))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} is no InternVL2's: {error!r}") from error
    if found.temperature <= 0 or found.context < 64:
        raise ModelError(f"{folder}: temperature {found.temperature}, context {found.context}?")
    return found


def settings(folder: Path) -> dict[str, Any]:
    """How to compile the folder's models for this machine's CPU."""
    chosen: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    if sum(f.stat().st_size for f in folder.glob("*.bin")) < EXACT_BELOW:
        # A small model gains nothing from 16 bits, and this way its answers are PyTorch's.
        chosen |= {
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
            # More threads than this cost a small model more in waiting than they give.
            "INFERENCE_NUM_THREADS": min(4, len(os.sched_getaffinity(0)))
            if hasattr(os, "sched_getaffinity")
            else min(4, os.cpu_count() or 1),
        }
    return chosen


def _one(tokenizer: text.Tokenizer, token: str, folder: Path) -> int:
    ids = tokenizer.encode(token)
    if len(ids) != 1:
        raise ModelError(f"{folder}: the tokenizer does not know {token}: is it InternVL2's?")
    return ids[0]


def _ends(tokenizer: text.Tokenizer, llm: dict[str, Any]) -> frozenset[int]:
    """What ends every turn, whatever generation_config.json forgot: InternVL2's own separator."""
    phi3 = "Phi3ForCausalLM" in (llm.get("architectures") or ())
    ids = tokenizer.encode("<|end|>" if phi3 else "<|im_end|>")
    return frozenset(ids) if len(ids) == 1 else frozenset()
