# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call,untyped-decorator"
"""InternVL2 in PyTorch: InternViT looks, InternLM2 reads what it saw among the words.

```
 pixel_values ─▶ vision_model ─▶ pixel_shuffle ─▶ mlp1 ─▶ picture tokens
 (tiles, 3, 448, 448)                                           │ in the places of <IMG_CONTEXT>
 input_ids ─▶ tok_embeddings ───────────────────────────────────┴─▶ language_model ─▶ logits
```

This file travels inside the checkpoint folder (`trust_remote_code`), so it imports nothing but
torch and transformers. XTuner trains through it (transformers 4.48), LMDeploy takes the vision
half from it, and `engine/export.py` builds the OpenVINO model from the same weight names, which
are InternVL2's. Attention is always torch's `scaled_dot_product_attention`, whatever
`attn_implementation` a caller asks for: it picks a flash kernel by itself where there is one.
Nothing lives in a buffer, so loading on the meta device loses nothing.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, CausalLMOutputWithPast

from .configuration_internvl_chat import InternLM2Config, InternVisionConfig, InternVLChatConfig


class RMSNorm(nn.Module):
    """Root mean square norm over the last axis, computed in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class InternVLPreTrained(PreTrainedModel):
    """What the models share: initial weights, checkpointing, attention that is always SDPA."""

    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_cache_class = True
    _no_split_modules = ("InternVisionEncoderLayer", "InternLM2DecoderLayer")

    def _init_weights(self, module: nn.Module) -> None:
        config: Any = getattr(self.config, "llm_config", self.config)
        if isinstance(module, nn.Linear | nn.Embedding | nn.Conv2d):
            nn.init.normal_(module.weight, std=config.initializer_range)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)

    @classmethod
    def _autoset_attn_implementation(cls, config: Any, *_: Any, **__: Any) -> Any:
        config._attn_implementation = "sdpa"  # transformers before 4.54
        return config

    def _check_and_adjust_attn_implementation(self, *_: Any, **__: Any) -> str:
        return "sdpa"  # transformers 4.54 and later


class InternVisionEmbeddings(nn.Module):
    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        places = (config.image_size // patch) ** 2 + 1
        self.class_embedding = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.patch_embedding = nn.Conv2d(config.num_channels, width, patch, patch)
        self.position_embedding = nn.Parameter(0.02 * torch.randn(1, places, width))

    def forward(self, pixel_values: Tensor) -> Tensor:
        patches = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), -1, -1).to(patches.dtype)
        return torch.cat([first, patches], 1) + self.position_embedding.to(patches.dtype)


class InternAttention(nn.Module):
    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.dropout = config.attention_dropout
        self.qkv = nn.Linear(width, 3 * width, bias=config.qkv_bias)
        self.proj = nn.Linear(width, width)
        self.q_norm = self.k_norm = None
        if config.qk_normalization:  # over all heads at once, as InternViT-6B does
            self.q_norm = RMSNorm(width, config.layer_norm_eps)
            self.k_norm = RMSNorm(width, config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (y.view(batch, length, self.heads, -1).transpose(1, 2) for y in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))


class InternMLP(nn.Module):
    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class InternVisionEncoderLayer(nn.Module):
    """One block; `ls1` and `ls2` scale its branches, `drop_path` drops them in training."""

    def __init__(self, config: InternVisionConfig, drop_path: float) -> None:
        super().__init__()
        norm = RMSNorm if config.norm_type == "rms_norm" else nn.LayerNorm
        self.attn = InternAttention(config)
        self.mlp = InternMLP(config)
        self.norm1 = norm(config.hidden_size, eps=config.layer_norm_eps)
        self.norm2 = norm(config.hidden_size, eps=config.layer_norm_eps)
        self.ls1 = nn.Parameter(config.initializer_factor * torch.ones(config.hidden_size))
        self.ls2 = nn.Parameter(config.initializer_factor * torch.ones(config.hidden_size))
        self.dropout = nn.Dropout(config.dropout)
        self.drop_path = drop_path

    def kept(self, branch: Tensor) -> Tensor:
        """The branch, zeroed for a random share of the samples (stochastic depth)."""
        if not self.training or not self.drop_path:
            return branch
        keep = branch.new_empty(len(branch), 1, 1).bernoulli_(1 - self.drop_path)
        return branch * keep / (1 - self.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.kept(self.dropout(self.attn(self.norm1(x))) * self.ls1)
        return x + self.kept(self.dropout(self.mlp(self.norm2(x))) * self.ls2)


class InternVisionEncoder(nn.Module):
    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__()
        count = config.num_hidden_layers
        self.layers = nn.ModuleList(
            InternVisionEncoderLayer(config, config.drop_path_rate * i / max(1, count - 1))
            for i in range(count)
        )
        self.gradient_checkpointing = False

    def forward(self, x: Tensor, every: bool = False) -> tuple[Tensor, ...]:
        """The last state, or `every` layer's: kept for nothing they take gigabytes."""
        states = [x]
        for layer in self.layers:
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(layer.__call__, x)
            else:
                x = layer(x)
            states = [*states, x] if every else [x]
        return tuple(states)


class InternVisionModel(InternVLPreTrained):
    """InternViT: pixels (tiles, 3, image, image) to (tiles, 1 + patches, width); no last norm."""

    config_class = InternVisionConfig
    main_input_name = "pixel_values"

    def __init__(self, config: InternVisionConfig) -> None:
        super().__init__(config)
        self.embeddings = InternVisionEmbeddings(config)
        self.encoder = InternVisionEncoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool = False, **_: Any
    ) -> BaseModelOutputWithPooling:
        states = self.encoder(self.embeddings(pixel_values), output_hidden_states)
        return BaseModelOutputWithPooling(
            last_hidden_state=states[-1],
            pooler_output=states[-1][:, 0],
            hidden_states=states if output_hidden_states else None,
        )


def rotary(
    position_ids: Tensor, config: InternLM2Config, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (batch, 1, length, head): RoFormer's, in Llama's split layout."""
    size = config.hidden_size // config.num_attention_heads
    steps = torch.arange(0, size, 2, device=position_ids.device).float() / size
    angles = position_ids[..., None].float() * config.rope_theta**-steps
    scaling = config.rope_scaling or {}
    if scaling.get("type") == "linear":
        angles = angles / scaling["factor"]
    angles = torch.cat([angles, angles], -1)[:, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


class InternLM2Attention(nn.Module):
    """Grouped-query attention; `wqkv` holds queries, key and value of one group after another."""

    def __init__(self, config: InternLM2Config, index: int) -> None:
        super().__init__()
        self.index = index
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.size = config.hidden_size // self.heads
        rows = (self.heads + 2 * self.groups) * self.size
        self.wqkv = nn.Linear(config.hidden_size, rows, bias=config.bias)
        self.wo = nn.Linear(self.heads * self.size, config.hidden_size, bias=config.bias)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: Any = None
    ) -> Tensor:
        batch, length, _ = x.shape
        share = self.heads // self.groups
        packed = self.wqkv(x).view(batch, length, self.groups, share + 2, self.size)
        q = packed[..., :share, :].reshape(batch, length, self.heads, self.size).transpose(1, 2)
        k, v = packed[..., share, :].transpose(1, 2), packed[..., share + 1, :].transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            k, v = cache.update(k, v, self.index)
        k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
        causal = mask is None and length > 1
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.wo(mixed.transpose(1, 2).reshape(batch, length, -1))


class InternLM2MLP(nn.Module):
    def __init__(self, config: InternLM2Config) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.bias)
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.bias)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class InternLM2DecoderLayer(nn.Module):
    def __init__(self, config: InternLM2Config, index: int) -> None:
        super().__init__()
        self.attention = InternLM2Attention(config, index)
        self.feed_forward = InternLM2MLP(config)
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.ffn_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: Any = None
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin, mask, cache)
        return x + self.feed_forward(self.ffn_norm(x))


def visible(attention_mask: Tensor | None, batch: int, length: int, past: int) -> Tensor | None:
    """What each position may see, (batch, 1, length, past + length); None: all before it.

    Every position sees itself, so that a padded row is finite (its output is never used).
    """
    padded = attention_mask is not None and not bool(attention_mask.bool().all())
    if not padded and (past == 0 or length == 1):
        return None
    device = attention_mask.device if attention_mask is not None else None
    here = torch.arange(past, past + length, device=device)[:, None]
    there = torch.arange(past + length, device=device)[None]
    mask = (there <= here).expand(batch, 1, -1, -1)
    if padded and attention_mask is not None:
        mask = (mask & attention_mask[:, None, None, :].bool()) | (there == here)
    return mask


class InternLM2Model(InternVLPreTrained):
    """The decoder without its head."""

    config_class = InternLM2Config

    def __init__(self, config: InternLM2Config) -> None:
        super().__init__(config)
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            InternLM2DecoderLayer(config, i) for i in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.tok_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.tok_embeddings = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        x = self.tok_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        batch, length, _ = x.shape
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        if position_ids is None:
            position_ids = torch.arange(past, past + length, device=x.device)[None]
        cos, sin = rotary(position_ids, self.config, x.dtype)
        mask = visible(attention_mask, batch, length, past)
        mask = mask if mask is None else mask.to(x.device)
        for layer in self.layers:
            if self.gradient_checkpointing and self.training:
                x = self._gradient_checkpointing_func(layer.__call__, x, cos, sin, mask)
            else:
                x = layer(x, cos, sin, mask, past_key_values)
        return self.norm(x)


class InternLM2ForCausalLM(InternVLPreTrained, GenerationMixin):
    config_class = InternLM2Config

    def __init__(self, config: InternLM2Config) -> None:
        super().__init__(config)
        self.model = InternLM2Model(config)
        self.output = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.tok_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.tok_embeddings = value

    def get_output_embeddings(self) -> nn.Module:
        return self.output

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.output = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Logits in float32, (batch, length, vocabulary), and the loss where labels are given."""
        hidden = self.model(input_ids, attention_mask, position_ids, past_key_values, inputs_embeds)
        logits = self.output(hidden).float()
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)


class InternVLChatModel(InternVLPreTrained):
    """The whole model; set `img_context_token_id` from the tokenizer before it sees a picture."""

    config_class = InternVLChatConfig
    main_input_name = "pixel_values"

    def __init__(self, config: InternVLChatConfig) -> None:
        super().__init__(config)
        self.vision_model = InternVisionModel(config.vision_config)
        self.language_model = InternLM2ForCausalLM(config.llm_config)
        wide = config.vision_config.hidden_size * round(1 / config.downsample_ratio) ** 2
        width = config.llm_config.hidden_size
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(wide), nn.Linear(wide, width), nn.GELU(), nn.Linear(width, width)
        )
        self.img_context_token_id: int | None = None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.get_output_embeddings()

    def pixel_shuffle(self, x: Tensor, scale_factor: float = 0.5) -> Tensor:
        """Trade places for channels: s² as many places, each 1/s² as wide; (tiles, h, w, width)."""
        tiles, rows, columns, width = x.shape
        n = round(1 / scale_factor)
        x = x.reshape(tiles, rows // n, n, columns // n, n, width)
        columns_first = self.config.ps_version == "v1"  # a slip of the first InternVL, kept alive
        order = (0, 3, 1, 2, 4, 5) if columns_first else (0, 1, 3, 2, 4, 5)
        return x.permute(order).flatten(3)

    def extract_feature(self, pixel_values: Tensor) -> Tensor:
        """Normalised pixels (tiles, 3, image, image) to picture tokens (tiles, tokens, hidden)."""
        layer = self.config.select_layer
        seen = self.vision_model(pixel_values, output_hidden_states=layer != -1)
        x = seen.last_hidden_state if layer == -1 else seen.hidden_states[layer]
        side = round((x.shape[1] - 1) ** 0.5)
        x = x[:, 1:].unflatten(1, (side, side))
        return self.mlp1(self.pixel_shuffle(x, self.config.downsample_ratio).flatten(1, 2))

    def embed(self, input_ids: Tensor, pixel_values: Tensor | None) -> Tensor:
        """Word embeddings with the picture tokens in the places of <IMG_CONTEXT>.

        Raises:
            ValueError: the prompt has another number of <IMG_CONTEXT> than the picture has tokens.
        """
        words = self.get_input_embeddings()(input_ids)
        if pixel_values is None:
            return words
        places = input_ids == self.img_context_token_id
        picture = self.extract_feature(pixel_values).flatten(0, 1).to(words.dtype)
        if int(places.sum()) != len(picture):
            raise ValueError(
                f"{int(places.sum())} <IMG_CONTEXT> in the prompt for {len(picture)} picture tokens"
            )
        return words.masked_scatter(places[..., None], picture)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        image_flags: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """One pass over prompt and answer; `image_flags` is 0 for a blank tile (no picture)."""
        if pixel_values is not None and image_flags is not None:
            pixel_values = pixel_values[image_flags.flatten() == 1]
            pixel_values = pixel_values if len(pixel_values) else None
        return self.language_model(
            inputs_embeds=self.embed(input_ids, pixel_values),
            attention_mask=attention_mask,
            position_ids=position_ids,
            labels=labels,
        )

    @torch.no_grad()
    def generate(
        self, pixel_values: Tensor | None, input_ids: Tensor, attention_mask: Tensor, **kwargs: Any
    ) -> Tensor:
        """New token ids, (batch, new), by transformers' `generate`, which takes `kwargs`."""
        words = self.embed(input_ids, pixel_values)
        return self.language_model.generate(
            inputs_embeds=words, attention_mask=attention_mask, **kwargs
        )


InternVLChatModel.register_for_auto_class("AutoModel")
