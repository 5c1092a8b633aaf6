"""The vision encoder made for speed sees what the modeling code that trains sees."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import engine
from engine import internvit
from engine.internvit import Encoder, size
from engine.nano.configuration_internvl_chat import InternVisionConfig
from engine.nano.modeling_internvl_chat import InternVisionModel
from engine.plan import TILES_AT_ONCE

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "patch_size": 14,
    "image_size": 112,
}
KINDS: dict[str, Any] = {
    "300M": {"norm_type": "layer_norm", "qk_normalization": False, "qkv_bias": True},
    "6B": {"norm_type": "rms_norm", "qk_normalization": True, "qkv_bias": False},
}


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[InternVisionModel, Path]:
    """A small encoder with random weights, and its checkpoint folder."""
    config = InternVisionConfig(**SIZES, **KINDS[request.param])
    model = InternVisionModel(config).eval()
    dice = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=dice) * 0.2 + 0.5 * (weight.ndim == 1)
    stored = {f"vision_model.{name}": value for name, value in model.state_dict().items()}
    save_file(stored | {"mlp1.0.weight": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": config.to_dict()}))
    return model, tmp_path


def test_it_sees_the_same(made: tuple[InternVisionModel, Path]) -> None:
    model, folder = made
    pixels = torch.randn(3, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = model(pixels).last_hidden_state
        found = Encoder(folder, torch.float32, "cpu")(pixels)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


def test_photos_come_apart_again(made: tuple[InternVisionModel, Path]) -> None:
    _, folder = made
    encoder = Encoder(folder, torch.bfloat16, "cpu")
    assert encoder.warm_up() == "not on a GPU"
    pixels = torch.randn(5, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    bits = pixels.bfloat16().view(torch.int16).numpy().view(np.uint16)
    found = encoder.look([bits[:1], bits[1:]])
    assert [tuple(seen.shape) for seen in found] == [(1, 1, 64, 64), (4, 1, 64, 64)]
    assert all(seen.is_contiguous() for seen in found)
    # Of its own: what is remembered of one photo holds nothing of the other's memory.
    assert all(seen.untyped_storage().nbytes() == size(seen) for seen in found)
    with torch.inference_mode():
        torch.testing.assert_close(found[1][:, 0], encoder(pixels.bfloat16())[1:, 1:])


def test_a_photo_in_very_many_tiles_is_looked_at_in_parts(
    made: tuple[InternVisionModel, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(made[1], torch.float32, "cpu")
    pixels = torch.randn(
        2 * TILES_AT_ONCE + 3, 3, 112, 112, generator=torch.Generator().manual_seed(3)
    )
    looks, usual = list[int](), Encoder.__call__

    def counted(self: Encoder, some: torch.Tensor) -> torch.Tensor:
        looks.append(len(some))
        return usual(self, some)

    with torch.inference_mode():
        whole = encoder(pixels)[:, 1:]
        monkeypatch.setattr(Encoder, "__call__", counted)
        torch.testing.assert_close(encoder._seen(pixels), whole)
    assert looks == [TILES_AT_ONCE, TILES_AT_ONCE, 3]


@pytest.mark.parametrize(("layer", "kept"), [(-1, 3), (-2, 2)])
def test_it_stops_at_the_layer_that_the_checkpoint_names(
    made: tuple[InternVisionModel, Path], layer: int, kept: int
) -> None:
    _, folder = made
    config = json.loads((folder / "config.json").read_text()) | {"select_layer": layer}
    (folder / "config.json").write_text(json.dumps(config))
    assert len(Encoder(folder, torch.float32, "cpu").layers) == kept


def test_a_folder_without_the_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": SIZES | KINDS["300M"] | {
        "layer_norm_eps": 1e-6}}))  # fmt: skip
    save_file({"language_model.weight": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(KeyError, match="vision_model"):
        Encoder(tmp_path, torch.float32, "cpu")


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The GPU's kernels, run by Triton's interpreter."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    if sys.modules.get("triton", ...) is None:  # hidden from XTuner where there is no GPU
        monkeypatch.delitem(sys.modules, "triton")
    forget_kernels()
    yield importlib.import_module("engine.kernels")
    forget_kernels()


def forget_kernels() -> None:
    if sys.modules.pop("engine.kernels", None):
        del engine.kernels


@pytest.mark.parametrize("rms", [False, True])
@pytest.mark.parametrize("adds", [False, True])
def test_the_kernel_adds_and_normalises_as_pytorch_does(
    kernels: Any, rms: bool, adds: bool
) -> None:
    dice = torch.Generator().manual_seed(4)
    packed = torch.randn(5, 3 * 80, generator=dice)
    add, weight, bias = torch.randn(3, 80, generator=dice).unbind()
    given = packed.clone()
    wanted_x, x = given[:, 80:160], packed[:, 80:160]  # rows of another stride, as queries are
    rest = (add if adds else None, weight, None if rms else bias, rms, 1e-6)
    wanted, found = internvit.add_norm(wanted_x, *rest), kernels.add_norm(x, *rest)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(packed, given)  # in place, and nothing beside it


COMPILE = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from engine.kernels import _add_norm

for capability, dtype, rms in (75, "fp16", False), (80, "bf16", True), (90, "bf16", False):
    types = [f"*{dtype}"] * 5 + ["i32", "i32", "fp32"]
    constants = {"adds": True, "rms": rms, "block": 1024}
    source = ASTSource(_add_norm, dict(zip(_add_norm.arg_names, types)), constants)
    assert compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]
"""


def test_the_kernel_compiles_for_nvidia_gpus() -> None:
    root = Path(__file__).parents[3]  # in a process of its own: the interpreter changes Triton
    found = subprocess.run(
        [sys.executable, "-c", COMPILE], cwd=root, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_it_sees_the_same_through_the_kernel(
    made: tuple[InternVisionModel, Path], kernels: Any
) -> None:
    encoder = Encoder(made[1], torch.float32, "cpu")
    pixels = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        wanted = encoder(pixels)
        assert encoder._fuse() is None
        assert encoder._add_norm is kernels.add_norm
        torch.testing.assert_close(encoder(pixels), wanted)


def test_without_triton_it_says_so(
    made: tuple[InternVisionModel, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    encoder = Encoder(made[1], torch.float32, "cpu")
    assert "not fused: " in str(encoder._fuse())
    assert encoder._add_norm is internvit.add_norm
