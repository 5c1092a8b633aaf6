# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""On InternVL2 as the hub has it, with tiles and LoRA, we compute what XTuner's stock computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from conftest import Toy, wide
from mmengine.config import ConfigDict
from safetensors.torch import save_file
from test_model import _one_process, gradients
from transformers import AutoConfig, AutoModel
from xtuner.dataset import InternVL_V1_5_Dataset
from xtuner.dataset.collate_fns import default_collate_fn
from xtuner.model import InternVL_V1_5

from training.xtuner import base, cache
from training.xtuner.config import TEMPLATE
from training.xtuner.data import DialogueDataset, collate
from training.xtuner.model import Critic, read_weights

__all__ = ["_one_process"]

HUB = Path(__file__).parents[3] / "benchmarks" / "gpu" / "modeling_hub.py"
#: Records of the data that a batch is made of: several shapes of photo, one without.
ROWS = [1, 2, 3, 5]


def lora() -> Any:
    return peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, task_type="CAUSAL_LM")


@pytest.fixture(scope="module")
def tiled(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The toy with InternVL2's tiling, and wide photos."""
    return wide(toy, tmp_path_factory.mktemp("tiled"))


@pytest.fixture(scope="module")
def stock(tiled: Toy, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """XTuner's model over the hub's code, after its loss."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    shutil.copytree(tiled.model, folder)
    shutil.copy(HUB, folder / "modeling_internvl_chat.py")
    torch.manual_seed(0)
    model = InternVL_V1_5(str(folder), freeze_llm=True, freeze_visual_encoder=True, llm_lora=lora())
    dress(model, tiled)
    assert "xtuner._lite" in type(model.model.vision_model).__module__
    source = InternVL_V1_5_Dataset(
        str(folder), ConfigDict(TEMPLATE), str(tiled.data), str(tiled.images)
    )
    loss = model(**default_collate_fn([source[i] for i in ROWS]))["loss"]
    loss.backward()
    return loss.item(), gradients(model)


def dress(model: Any, tiled: Toy) -> None:
    """Exact weights, and adapters that do something (fresh ones are zero)."""
    model.float()
    plain = {
        name.replace(".base_layer", "").replace("base_model.model.", ""): parameter
        for name, parameter in model.model.named_parameters()
    }
    with torch.no_grad():
        for name, tensor in read_weights(tiled.model).items():
            plain[name].copy_(tensor)
        for name, parameter in plain.items():
            if "lora_" in name:
                number = np.random.default_rng(sum(name.encode()))
                parameter.copy_(torch.from_numpy(number.normal(0, 0.1, parameter.shape)))


@pytest.mark.parametrize("checkpointed", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_loss_and_gradients_are_those_of_the_hubs_code(
    tiled: Toy, stock: Any, tmp_path: Path, cached: bool, checkpointed: bool
) -> None:
    """SDPA, the head on labels, kept features, no mask, bytes for floats: nothing changes."""
    ours = Critic(
        model_path=str(base.view(tiled.model, tmp_path / "view")),
        freeze_llm=True,
        freeze_visual_encoder=True,
        llm_lora=lora(),
        checkpoint_activations=checkpointed,
    )
    dress(ours, tiled)
    features = str(tmp_path / "features" / "x") if cached else None
    source = DialogueDataset(
        str(tiled.model), TEMPLATE, str(tiled.data), str(tiled.images), 8192, features=features
    )
    if source.features:
        photos = [photo for row in ROWS[1:3] if (photo := source.photo(row))]  # the last is not
        seen = ((photo, source.tiles(photo)) for photo in photos)
        assert cache.fill(source.features, seen, ours.look, 1 << 30, batch=5) == 2
        assert source[ROWS[1]]["pixel_values"] is None
    batch = collate([source[i] for i in ROWS])
    assert (batch["data"]["features"] is not None) == cached
    loss = ours.train()(**batch)["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(stock[0], rel=1e-5)
    mine = gradients(ours)
    theirs = {name: gradient for name, gradient in stock[1].items() if "vision" not in name}
    assert mine.keys() == theirs.keys()
    assert any("lora_A" in name for name in mine)
    assert any("mlp1" in name for name in mine)
    for name, gradient in theirs.items():
        distance = (mine[name] - gradient).norm() / (gradient.norm() + 1e-8)
        assert distance < 1e-3, name


#: What 8B and 26B have that nano has not: shared keys, stretched positions, InternViT-6B's norms.
LARGE = {
    "vision_config": {"qk_normalization": True, "norm_type": "rms_norm", "qkv_bias": False},
    "llm_config": {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_theta": 1e6,
        "rope_scaling": {"type": "dynamic", "factor": 3.0},
    },
}


def test_the_parts_of_8b_and_26b_compute_what_the_hubs_code_computes(
    tiled: Toy, tmp_path: Path
) -> None:
    folder, hub = tmp_path / "large", tmp_path / "hub"
    shutil.copytree(tiled.model, folder)
    config = json.loads((folder / "config.json").read_text())
    for part, values in LARGE.items():
        config[part] |= values
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    torch.manual_seed(0)
    settings = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    made = AutoModel.from_config(settings, trust_remote_code=True)
    save_file(made.state_dict(), folder / "model.safetensors", {"format": "pt"})
    shutil.copytree(folder, hub)
    shutil.copy(HUB, hub / "modeling_internvl_chat.py")
    source = DialogueDataset(str(folder), TEMPLATE, str(tiled.data), str(tiled.images), 8192)
    batch = collate([source[i] for i in ROWS])
    found = []
    for place in (base.view(folder, tmp_path / "view"), hub):
        model = Critic(model_path=str(place), freeze_visual_encoder=True, weights="fp32")
        model.eval()
        loss = model(**batch)["loss"]
        loss.backward()
        found.append((loss.item(), gradients(model)))
    (mine, ours), (theirs, stocks) = found
    assert mine == pytest.approx(theirs, rel=1e-5)
    assert ours.keys() == stocks.keys()
    for name, gradient in stocks.items():
        distance = (ours[name] - gradient).norm() / (gradient.norm() + 1e-8)
        assert distance < 1e-3, name


def test_a_base_that_xtuner_cannot_train_is_refused_by_name(tmp_path: Path) -> None:
    for kind, named in (("Qwen2ForCausalLM", "2B, 8B, 26B"), (None, "unknown kind")):
        config = {"llm_config": {"architectures": [kind]}, "vision_config": {}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(base.BaseError, match=named):
            base.read(tmp_path)


def test_a_view_runs_our_code_and_never_the_folders(tiled: Toy, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile"
    shutil.copytree(tiled.model, hostile)
    (hostile / "modeling_internvl_chat.py").write_text("raise SystemExit('ran')")
    (hostile / "extra.py").write_text("raise SystemExit('ran')")
    view = base.view(hostile, tmp_path / "view")
    assert not (view / "extra.py").exists()
    assert Critic(model_path=str(view)).image_size == 448
