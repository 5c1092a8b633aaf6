# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""InternVL2 as a download from the hub computes it, where there is no flash-attn: eagerly.

Stands in a checkpoint folder in the place of ours. InternViT and InternLM2 are the hub's own code,
as XTuner ships it; what joins them is written here, after the description in InternVL 1.5's paper.
"""

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from xtuner._lite.modelings.internlm2.modeling_internlm2 import InternLM2ForCausalLM
from xtuner._lite.modelings.internvl2.modeling_intern_vit import InternVisionModel

from .configuration_internvl_chat import InternVLChatConfig


class InternVLChatModel(PreTrainedModel):
    config_class = InternVLChatConfig
    supports_gradient_checkpointing = True
    _supports_flash_attn_2 = True

    def __init__(self, config: InternVLChatConfig) -> None:
        super().__init__(config)
        config.llm_config.attn_implementation = "eager"  # as the hub's code does without flash-attn
        config.llm_config.pretraining_tp = 1
        self.vision_model = InternVisionModel(config.vision_config)
        self.language_model = InternLM2ForCausalLM(config.llm_config)
        wide, width = config.vision_config.hidden_size * 4, config.llm_config.hidden_size
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(wide), nn.Linear(wide, width), nn.GELU(), nn.Linear(width, width)
        )
        self.img_context_token_id: int | None = None

    def extract_feature(self, pixel_values: Tensor) -> Tensor:
        """Pixels (tiles, 3, 448, 448) to picture tokens (tiles, 256, hidden)."""
        seen: Any = self.vision_model(pixel_values=pixel_values, return_dict=True)
        x = seen.last_hidden_state[:, 1:]
        side = int(x.shape[1] ** 0.5)
        tiles, width = x.shape[0], x.shape[-1]
        x = x.view(tiles, side, side // 2, width * 2).permute(0, 2, 1, 3).contiguous()
        x = x.view(tiles, side // 2, side // 2, width * 4).permute(0, 2, 1, 3).contiguous()
        return self.mlp1(x.view(tiles, -1, width * 4))

    def _init_weights(self, module: nn.Module) -> None:
        """Every weight is loaded."""
