"""Checkpoints of the right shape and no knowledge, for tests that need a model but no meaning."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from engine import nano
from foodcritic import dishes, prompts

VISION = {
    "model_type": "intern_vit_6b",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "image_size": 112,
    "patch_size": 28,
    "layer_norm_eps": 1e-6,
    "norm_type": "layer_norm",
    "qkv_bias": True,
    "qk_normalization": False,
}
LANGUAGE = {
    "model_type": "internlm2",
    "architectures": ["InternLM2ForCausalLM"],
    "hidden_size": 128,
    "intermediate_size": 96,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
SPECIAL = (
    "<unk>",
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
)
#: XTuner's internlm2_chat with its system line: nothing between an end and the next start.
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    + prompts.SYSTEM
    + "<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}"
    "{% if m['role'] != 'assistant' %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@cache
def tokenizer(size: int = 700) -> Tokenizer:
    """A byte-level BPE over the table of dishes, with InternVL2's special tokens first."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(dishes.TABLE.read_text("utf-8").splitlines(), trainer)
    return made


def write(
    folder: Path,
    *,
    seed: int = 0,
    vision: dict[str, Any] | None = None,
    language: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    """A checkpoint folder with random weights; the keywords override parts of its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    made = tokenizer()
    made.save(str(folder / "tokenizer.json"))
    whole = {
        "model_type": "internvl_chat",
        "architectures": ["InternVLChatModel"],
        "auto_map": {
            "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
            "AutoModel": "modeling_internvl_chat.InternVLChatModel",
        },
        "vision_config": VISION | (vision or {}),
        "llm_config": LANGUAGE | {"vocab_size": made.get_vocab_size()} | (language or {}),
        "force_image_size": (vision or {}).get("image_size", VISION["image_size"]),
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "use_thumbnail": True,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": 1,
        "ps_version": "v2",
        "select_layer": -1,
        "template": "internlm2-chat",
    } | config
    save_file(weights(whole, seed), folder / "model.safetensors")
    for name, value in {
        "config.json": whole,
        "generation_config.json": {"eos_token_id": [2, made.token_to_id("<|im_end|>")]},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": TEMPLATE,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "pad_token": "</s>",
        },
        "foodcritic.json": {"unsure_below": 0.4, "temperature": 1.0},
    }.items():
        (folder / name).write_text(json.dumps(value), "utf-8")
    for file in nano.CODE:
        shutil.copy(file, folder)
    return folder


def weights(config: dict[str, Any], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Random half-precision weights under InternVL2's names, large enough to make answers vary."""
    random = np.random.default_rng(seed)
    vit, llm = config["vision_config"], config["llm_config"]
    wide, deep = vit["hidden_size"], llm["hidden_size"]
    size = deep // llm["num_attention_heads"]
    made: dict[str, np.ndarray[Any, Any]] = {}

    def draw(name: str, *shape: int, scale: float | None = None, around: float = 0.0) -> None:
        spread = scale if scale is not None else shape[-1] ** -0.5
        made[name] = (around + spread * random.standard_normal(shape)).astype(np.float16)

    at = "vision_model.embeddings"
    draw(f"{at}.class_embedding", 1, 1, wide, scale=1)
    patch = vit["patch_size"]
    draw(f"{at}.patch_embedding.weight", wide, 3, patch, patch, scale=0.05)
    draw(f"{at}.patch_embedding.bias", wide, scale=0.1)
    draw(f"{at}.position_embedding", 1, (vit["image_size"] // patch) ** 2 + 1, wide, scale=1)
    for i in range(vit["num_hidden_layers"]):
        at = f"vision_model.encoder.layers.{i}"
        for norm in ("norm1", "norm2"):
            draw(f"{at}.{norm}.weight", wide, scale=0.1, around=1)
            if vit["norm_type"] == "layer_norm":
                draw(f"{at}.{norm}.bias", wide, scale=0.1)
        draw(f"{at}.attn.qkv.weight", 3 * wide, wide)
        if vit["qkv_bias"]:
            draw(f"{at}.attn.qkv.bias", 3 * wide, scale=0.1)
        if vit["qk_normalization"]:
            draw(f"{at}.attn.q_norm.weight", wide, scale=0.1, around=1)
            draw(f"{at}.attn.k_norm.weight", wide, scale=0.1, around=1)
        for name, out, into in (
            ("attn.proj", wide, wide),
            ("mlp.fc1", vit["intermediate_size"], wide),
            ("mlp.fc2", wide, vit["intermediate_size"]),
        ):
            draw(f"{at}.{name}.weight", out, into)
            draw(f"{at}.{name}.bias", out, scale=0.1)
        draw(f"{at}.ls1", wide, scale=0.1, around=1)
        draw(f"{at}.ls2", wide, scale=0.1, around=1)
    draw("mlp1.0.weight", 4 * wide, scale=0.1, around=1)
    draw("mlp1.0.bias", 4 * wide, scale=0.1)
    for name, into in (("1", 4 * wide), ("3", deep)):
        draw(f"mlp1.{name}.weight", deep, into)
        draw(f"mlp1.{name}.bias", deep, scale=0.1)
    at = "language_model.model"
    draw(f"{at}.tok_embeddings.weight", llm["vocab_size"], deep, scale=1)
    for i in range(llm["num_hidden_layers"]):
        layer = f"{at}.layers.{i}"
        rows = (llm["num_attention_heads"] + 2 * llm["num_key_value_heads"]) * size
        for name, out, into in (
            ("attention.wqkv", rows, deep),
            ("attention.wo", deep, deep),
            ("feed_forward.w1", llm["intermediate_size"], deep),
            ("feed_forward.w3", llm["intermediate_size"], deep),
            ("feed_forward.w2", deep, llm["intermediate_size"]),
        ):
            draw(f"{layer}.{name}.weight", out, into)
            if llm["bias"]:
                draw(f"{layer}.{name}.bias", out, scale=0.1)
        draw(f"{layer}.attention_norm.weight", deep, scale=0.1, around=1)
        draw(f"{layer}.ffn_norm.weight", deep, scale=0.1, around=1)
    draw(f"{at}.norm.weight", deep, scale=0.1, around=1)
    draw("language_model.output.weight", llm["vocab_size"], deep, scale=0.3)
    return made
