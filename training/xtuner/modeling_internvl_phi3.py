# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return,no-untyped-call"
"""InternVL2-4B for training: our InternViT and projector over transformers' own Phi-3.

Copied into the view that XTuner is given (see `base`), beside our two modeling files. The hub's
folder brings a Phi-3 of its own with the same weight names, which needs flash-attn; this one
computes attention through torch's SDPA.
"""

from typing import Any

from torch import nn
from transformers import Phi3Config, Phi3ForCausalLM

from .configuration_internvl_chat import InternVLChatConfig
from .modeling_internvl_chat import InternVisionModel, InternVLChatModel, InternVLPreTrained


class InternVLPhi3Config(InternVLChatConfig):
    """The whole model's, with Phi-3's own ``llm_config``."""

    def __init__(
        self,
        vision_config: dict[str, Any] | None = None,
        llm_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(vision_config, None, **kwargs)
        self.llm_config = Phi3Config(**{"architectures": ["Phi3ForCausalLM"], **(llm_config or {})})


class InternVLPhi3Model(InternVLChatModel):
    """The whole model."""

    config_class = InternVLPhi3Config
    _no_split_modules = ("InternVisionEncoderLayer", "Phi3DecoderLayer")

    def __init__(self, config: InternVLPhi3Config) -> None:
        InternVLPreTrained.__init__(self, config)
        config.llm_config._attn_implementation = "sdpa"  # whatever XTuner asks for
        self.vision_model = InternVisionModel(config.vision_config)
        self.language_model = Phi3ForCausalLM(config.llm_config)
        wide = config.vision_config.hidden_size * round(1 / config.downsample_ratio) ** 2
        width = config.llm_config.hidden_size
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(wide), nn.Linear(wide, width), nn.GELU(), nn.Linear(width, width)
        )
        self.img_context_token_id: int | None = None
        self.post_init()
