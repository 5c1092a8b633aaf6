# mypy: disable-error-code="import-not-found,misc"
"""Configuration of an InternVL2 checkpoint: InternViT, a projector and InternLM2.

This file travels inside the checkpoint folder (`trust_remote_code`), so it imports nothing but
transformers and runs unchanged under XTuner 0.2.0 (transformers 4.48) and LMDeploy (4.56 and
later). Key names are InternVL2's own.
"""

from typing import Any

from transformers import PretrainedConfig


class InternVisionConfig(PretrainedConfig):
    """InternViT: the picture encoder. `norm_type` is "layer_norm" or "rms_norm"."""

    model_type = "intern_vit_6b"

    def __init__(
        self,
        hidden_size: int = 256,
        intermediate_size: int = 1024,
        num_attention_heads: int = 4,
        num_hidden_layers: int = 9,
        image_size: int = 448,
        patch_size: int = 28,
        num_channels: int = 3,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-6,
        norm_type: str = "layer_norm",
        qkv_bias: bool = True,
        qk_normalization: bool = False,
        use_flash_attn: bool = False,
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        initializer_range: float = 0.02,
        initializer_factor: float = 0.1,
        **kwargs: Any,
    ) -> None:
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_attention_heads = num_attention_heads
        self.num_hidden_layers = num_hidden_layers
        self.image_size = image_size
        self.patch_size = patch_size
        self.num_channels = num_channels
        self.hidden_act = hidden_act
        self.layer_norm_eps = layer_norm_eps
        self.norm_type = norm_type
        self.qkv_bias = qkv_bias
        self.qk_normalization = qk_normalization
        self.use_flash_attn = use_flash_attn
        self.drop_path_rate = drop_path_rate
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.initializer_range = initializer_range
        self.initializer_factor = initializer_factor
        super().__init__(**kwargs)


class InternLM2Config(PretrainedConfig):
    """InternLM2: a Llama-like decoder whose q, k and v share one matrix."""

    model_type = "internlm2"

    def __init__(
        self,
        vocab_size: int = 1536,
        hidden_size: int = 256,
        intermediate_size: int = 640,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 4,
        num_key_value_heads: int = 2,
        hidden_act: str = "silu",
        max_position_embeddings: int = 2048,
        initializer_range: float = 0.02,
        rms_norm_eps: float = 1e-5,
        use_cache: bool = True,
        pad_token_id: int = 2,
        bos_token_id: int = 1,
        eos_token_id: int = 2,
        tie_word_embeddings: bool = False,
        bias: bool = False,
        rope_theta: float = 10000.0,
        rope_scaling: dict[str, Any] | None = None,
        attn_implementation: str = "sdpa",
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.hidden_act = hidden_act
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.rms_norm_eps = rms_norm_eps
        self.use_cache = use_cache
        self.bias = bias
        self.rope_theta = rope_theta
        self.rope_scaling = rope_scaling
        # XTuner writes "flash_attention_2" here; transformers never reads this attribute.
        self.attn_implementation = attn_implementation
        super().__init__(
            pad_token_id=pad_token_id,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            tie_word_embeddings=tie_word_embeddings,
            **kwargs,
        )


class InternVLChatConfig(PretrainedConfig):
    """The whole model. `force_image_size` pixels a tile, `downsample_ratio` the pixel shuffle's."""

    model_type = "internvl_chat"
    is_composition = True

    def __init__(
        self,
        vision_config: dict[str, Any] | None = None,
        llm_config: dict[str, Any] | None = None,
        template: str = "internlm2-chat",
        downsample_ratio: float = 0.5,
        force_image_size: int = 448,
        dynamic_image_size: bool = True,
        use_thumbnail: bool = True,
        ps_version: str = "v2",
        min_dynamic_patch: int = 1,
        max_dynamic_patch: int = 1,
        select_layer: int = -1,
        pad2square: bool = False,
        **kwargs: Any,
    ) -> None:
        llm_config = {"architectures": ["InternLM2ForCausalLM"], **(llm_config or {})}
        self.vision_config = InternVisionConfig(**(vision_config or {}))
        self.llm_config = InternLM2Config(**llm_config)
        self.template = template
        self.downsample_ratio = downsample_ratio
        self.force_image_size = force_image_size
        self.dynamic_image_size = dynamic_image_size
        self.use_thumbnail = use_thumbnail
        self.ps_version = ps_version
        self.min_dynamic_patch = min_dynamic_patch
        self.max_dynamic_patch = max_dynamic_patch
        self.select_layer = select_layer
        self.pad2square = pad2square
        kwargs["tie_word_embeddings"] = self.llm_config.tie_word_embeddings
        super().__init__(**kwargs)

    def to_dict(self) -> dict[str, Any]:
        """As a config.json: both parts as plain dictionaries."""
        whole: dict[str, Any] = super().to_dict()
        whole["vision_config"] = self.vision_config.to_dict()
        whole["llm_config"] = self.llm_config.to_dict()
        return whole


InternVLChatConfig.register_for_auto_class()
