"""How to run a model on a card: what its memory allows, and what was measured to be fast.

```
 free memory ─ weights ─ working space ─▶ keys and values ─▶ session_len, max_batch_size
                                             of a token: layers x heads x size x 2
```
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from engine import fp8, text
from engine.card import Card
from foodcritic.errors import ModelError

#: Bytes that LMDeploy works in beside weights, keys and values.
WORKING: Final = 3 * 2**30
#: Of the memory left after the weights, what keys and values get.
SHARE: Final = 0.8
#: The same on a card where a second model fits beside the first, to change it without a pause.
SHARE_ROOMY: Final = 0.45
#: Bytes left after weights and working space from which on a card is roomy.
ROOMY: Final = 40 * 2**30
#: Bytes for what our vision encoder saw, at most: 37 photos of 13 tiles for InternViT-300M.
SEEN: Final = 2**30
#: The same as a share of what is left, on a small card.
SEEN_SHARE: Final = 0.05
#: Tiles that our vision encoder looks at together, where several photos wait: more gain nothing.
TILES_AT_ONCE: Final = 16
#: Tokens of a usual conversation about a photo: 13 tiles and a few turns.
USUAL: Final = 4096
#: More answers at once gain nothing.
MOST_AT_ONCE: Final = 256
#: What config.json calls the type that the weights are stored in.
DTYPE: Final = ("torch_dtype", "dtype")
#: Tokens that a prompt and its answer may take together, if the model and memory allow.
LONGEST: Final = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """LMDeploy's settings, under its own names."""

    backend: Literal["turbomind", "pytorch"] = "turbomind"
    dtype: Literal["bfloat16", "float16"] = "bfloat16"
    session_len: int = LONGEST
    max_batch_size: int = MOST_AT_ONCE
    #: Of the memory that is free once the weights are loaded.
    cache_max_entry_count: float = SHARE
    #: Tokens a step; with `max_batch_size`, at most `session_len` (TurboMind's warm-up).
    max_prefill_token_num: int = 8192
    #: 8: the folder is a copy of `engine.copies`, and matrices are multiplied in 8 bits.
    weight_bits: int = 16
    #: 8: keys and values in 8 bits.
    quant_policy: int = 0
    prefix_caching: bool = True
    metrics: bool = False
    #: Engines beside each other on the card.
    engines: int = 1
    #: Whether the checkpoint's own Python code may run.
    trusted: bool = False
    #: Whether a second model fits beside this one.
    roomy: bool = False
    #: Whether `engine.vision` looks at photos, in TurboMind's place.
    own_vision: bool = False
    #: Bytes on the GPU for what it saw, so that a follow-up need not look again.
    vision_bytes: int = SEEN
    #: More of LMDeploy's engine settings, by their own names: for experiments.
    more: Mapping[str, Any] = field(default_factory=dict)


def make(
    folder: Path,
    card: Card,
    *,
    kv_bits: int = 16,
    weight_bits: int = 16,
    trusted: bool = False,
    beside: bool = False,
    alone: bool = False,
    most: int | None = None,
) -> Plan:
    """The plan for a checkpoint on a card, but for the backend.

    `beside`: a second one comes too. `alone`: no other ever does, not even to take its place.
    `most`: bytes that it may take, where the card is shared; None: all that is free.
    `weight_bits` of 8 is for what `engine.fp8` does not refuse.

    Raises:
        ModelError: the card is too small for it, or config.json lacks what must be known.
    """
    config = text.read(folder / "config.json")
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    weights = weights or sum(file.stat().st_size for file in folder.glob("*.bin"))
    if weight_bits == 8:
        weights = fp8.size(folder, config)
    room = card.free - weights
    left = room - WORKING if most is None else min(card.free, most) - weights - WORKING
    token = kv_bytes(config, folder, kv_bits)
    # Whoever shares a card did not allow for two, however short a time.
    roomy = left > ROOMY + weights and most is None and not alone
    share = SHARE_ROOMY if roomy or beside else SHARE
    each = token / share  # bytes left that a token takes
    if 0 < left < room - WORKING:  # LMDeploy takes a share of what the whole card has free then
        share *= left / room
    tokens = int((room - WORKING) * share / token) if left > 0 else 0
    try:
        context = int(config["llm_config"]["max_position_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} is no InternVL2's: {error!r}") from error
    session = min(context, LONGEST, tokens // 64 * 64)
    if session < min(context, USUAL):
        need = weights + WORKING + min(context, USUAL) * each
        if most is not None and most < card.free:
            has = f"FOODCRITIC_GPU_MEMORY_GB leaves it {most / 2**30:.1f}: raise it"
        else:
            has = f"{card.name} has {card.free / 2**30:.1f} free: free some"
        raise ModelError(
            f"{folder.name} needs {need / 2**30:.1f} GiB of GPU memory, {has}, set "
            "FOODCRITIC_KV_BITS=8, or take a smaller model"
        )
    batch = max(1, min(MOST_AT_ONCE, tokens // min(USUAL, session)))
    # transformers calls it dtype since 4.56.
    told = (one.get(name) for one in (config, config["llm_config"]) for name in DTYPE)
    stored = str(next(filter(None, told), None))
    return Plan(
        # bfloat16 came with Ampere; what was stored otherwise keeps its finer steps.
        dtype="bfloat16" if stored == "bfloat16" and card.capability >= (8, 0) else "float16",
        session_len=session,
        max_batch_size=batch,
        cache_max_entry_count=share,
        max_prefill_token_num=max(64, min(8192, session - batch)),
        weight_bits=weight_bits,
        quant_policy=8 if kv_bits == 8 else 0,
        trusted=trusted,
        roomy=roomy and not beside,
        vision_bytes=min(SEEN, int(left * SEEN_SHARE)),
    )


def kv_bytes(config: dict[str, Any], folder: Path, bits: int) -> int:
    """Bytes of the keys and values of one token.

    Raises:
        ModelError: config.json does not say.
    """
    try:
        llm = config["llm_config"]
        heads = int(llm["num_attention_heads"])
        size = int(llm.get("head_dim") or int(llm["hidden_size"]) // heads)
        kept = int(llm.get("num_key_value_heads") or heads)
        return 2 * int(llm["num_hidden_layers"]) * kept * size * bits // 8
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{folder / 'config.json'} is no InternVL2's: {error!r}") from error
