"""How to run a model on a card: what its memory allows, and what was measured to be fast.

```
 card's memory ─ weights ─ working space ─▶ keys and values ─▶ session_len, max_batch_size
```
"""

from dataclasses import dataclass
from typing import Final, Literal

#: Bytes that TurboMind works in beside weights and keys and values, for 16,384 tokens a step.
WORKING: Final = 3 * 2**30
#: Of the memory left after the weights, what keys and values get.
SHARE: Final = 0.8
#: The same on a card so large that a second model fits beside the first (hot swap).
SHARE_ROOMY: Final = 0.45
#: Tokens of a typical conversation about one photo: 13 tiles, a few turns.
TYPICAL: Final = 4096
#: More answers at once gain nothing.
MOST_AT_ONCE: Final = 256
#: Tokens that a prompt and its answer may take together, if memory allows.
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
    #: 8: keys and values in 8 bits.
    quant_policy: int = 0
    prefix_caching: bool = True
    metrics: bool = False
    #: Engines beside each other on the card: one reads photos while another writes.
    engines: int = 1
    #: Whether the checkpoint's own Python code may run.
    trusted: bool = False
