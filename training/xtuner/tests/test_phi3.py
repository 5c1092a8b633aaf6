# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""InternVL2-4B's architecture, tiny and random: it trains, merges and answers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import torch
from conftest import Toy, wide
from safetensors.torch import save_file
from test_lora import command
from transformers import AutoConfig, AutoModel, Phi3ForCausalLM

from training.xtuner import base
from training.xtuner.model import read_weights

ROOT = Path(__file__).parents[3]


def phi3(toy: Toy, folder: Path) -> Toy:
    """The toy over a Phi-3 whose positions are scaled as Phi-3-mini-128k's are."""
    tiled = wide(toy, folder)
    config = json.loads((tiled.model / "config.json").read_text())
    words = config["llm_config"]
    config["llm_config"] = {
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        "vocab_size": words["vocab_size"],
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8192,
        "original_max_position_embeddings": 4096,
        "rope_scaling": {"type": "su", "short_factor": [1.05] * 16, "long_factor": [1.3] * 16},
        "pad_token_id": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "_attn_implementation": "flash_attention_2",
    }
    config["auto_map"] = {
        "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
        "AutoModel": "modeling_internvl_chat.InternVLChatModel",
    }
    config["template"] = "phi3-chat"
    (tiled.model / "config.json").write_text(json.dumps(config))
    for file in tiled.model.glob("*.py"):
        file.write_text("raise SystemExit('the folder's own code ran')")
    view = base.view(tiled.model, folder / "view")
    torch.manual_seed(0)
    settings = AutoConfig.from_pretrained(view, trust_remote_code=True)
    made = AutoModel.from_config(settings, trust_remote_code=True)
    assert isinstance(made.language_model, Phi3ForCausalLM)
    save_file(made.state_dict(), tiled.model / "model.safetensors", {"format": "pt"})
    shutil.rmtree(view)
    return tiled


def test_a_phi3_trains_merges_and_answers_without_flash_attn_or_its_folders_code(
    toy: Toy, tmp_path: Path
) -> None:
    tiled, work = phi3(toy, tmp_path / "tiled"), tmp_path / "work"
    done = subprocess.run(
        [*command(tiled, work), "--set", "data.iterations=4"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(said["answers"]) == {"model", "adapter"}, "merged weights and adapters think alike"
    before, after = read_weights(tiled.model), read_weights(work / "model")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("qkv_proj" in name for name in changed)
    assert any("mlp1" in name for name in changed)
    assert not any("vision_model" in name or "embed_tokens" in name for name in changed)
    kept = json.loads((tiled.model / "config.json").read_text())
    assert json.loads((work / "model" / "config.json").read_text()) == kept
