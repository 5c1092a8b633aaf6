"""A checkpoint in 8 bits: near what it was, whole or not there, and written once."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine import blocks, copies, fp8
from foodcritic.errors import ModelError

ROOT = Path(__file__).parents[3]
HIDDEN, INNER = 256, 384
#: float8_e4m3: 3 bits behind the point, 2^-9 the smallest.
STEP, LEAST = 2**-4, 2**-10


def named(kind: str, layer: int) -> dict[str, tuple[int, ...]]:
    """A layer's weights as InternLM2's and Qwen2's checkpoints call them, head length 128."""
    at = f"language_model.model.layers.{layer}."
    if kind == "InternLM2ForCausalLM":
        return {
            f"{at}attention.wqkv.weight": (512, HIDDEN),
            f"{at}attention.wo.weight": (HIDDEN, HIDDEN),
            f"{at}feed_forward.w1.weight": (INNER, HIDDEN),
            f"{at}feed_forward.w2.weight": (HIDDEN, INNER),
            f"{at}feed_forward.w3.weight": (INNER, HIDDEN),
            f"{at}ffn_norm.weight": (HIDDEN,),
        }
    return {
        **{f"{at}self_attn.{one}_proj.weight": (HIDDEN, HIDDEN) for one in "qo"},
        **{f"{at}self_attn.{one}_proj.weight": (128, HIDDEN) for one in "kv"},
        **{f"{at}self_attn.{one}_proj.bias": (128,) for one in "kv"},
        **{f"{at}mlp.{one}_proj.weight": (INNER, HIDDEN) for one in ("gate", "up")},
        f"{at}mlp.down_proj.weight": (HIDDEN, INNER),
        f"{at}input_layernorm.weight": (HIDDEN,),
    }


def checkpoint(
    folder: Path, kind: str = "InternLM2ForCausalLM", heads: int = 2, seed: int = 0
) -> Path:
    """A folder in three files: two layers, and what has none."""
    dice = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True)
    files = {f"model-0000{n + 1}-of-3.safetensors": named(kind, n) for n in range(2)}
    files["model-00003-of-3.safetensors"] = {
        "language_model.output.weight": (512, HIDDEN),
        "vision_model.embeddings.class_embedding": (1, 1, 64),
        "vision_model.encoder.layers.0.attn.qkv.weight": (384, 128),
    }
    index = dict[str, str]()
    for file, shapes in files.items():
        made = {name: torch.randn(shape, generator=dice) * 0.02 for name, shape in shapes.items()}
        save_file({name: one.bfloat16() for name, one in made.items()}, folder / file)
        index |= dict.fromkeys(shapes, file)
    (folder / fp8.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))
    llm = {"architectures": [kind], "hidden_size": HIDDEN, "num_attention_heads": heads}
    (folder / "config.json").write_text(json.dumps({"llm_config": llm, "ps_version": "v2"}))
    (folder / "modeling.py").write_text("# the model's own\n")
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """What LMDeploy would read: the files of the index, and of them what it names."""
    index = json.loads((folder / fp8.INDEX).read_text())["weight_map"]
    found = {}
    for name, file in index.items():
        with safe_open(folder / file, "pt") as stored:
            found[name] = stored.get_tensor(name)
    return found


def spread(whole: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The matrix again, as LMDeploy's FP8Format.dequant."""
    wide = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)
    return whole.float() * wide


def test_a_value_is_off_by_a_sixteenth_at_most() -> None:
    """In the whole 2.7 %; blocks of very different sizes do not harm each other."""
    weight = torch.randn(384, 256) * torch.tensor([1e-4, 1.0, 50.0]).repeat_interleave(128)[:, None]
    weight[:128, :128] = 0
    whole, scale = blocks.blocks(weight)
    again = spread(whole, scale)
    limit = torch.maximum(weight.abs() * STEP, scale.repeat_interleave(128, 0).repeat_interleave(
        128, 1) * LEAST)  # fmt: skip
    assert ((again - weight).abs() <= limit * 1.001).all()
    for rows in range(0, 384, 128):
        part, near = weight[rows : rows + 128], again[rows : rows + 128]
        assert 0.02 < (near - part).norm() / part.norm() < 0.03
    assert not again[:128, :128].any()


def test_what_has_no_blocks_or_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="200 x 128 has no blocks of 128"):
        blocks.blocks(torch.ones(200, 128))
    for bad in (float("nan"), float("inf")):
        weight = torch.ones(128, 128)
        weight[3, 5] = bad
        with pytest.raises(ValueError, match="no finite numbers"):
            blocks.blocks(weight)


@pytest.mark.parametrize("kind", ["InternLM2ForCausalLM", "Qwen2ForCausalLM"])
def test_the_layers_become_8_bits_and_nothing_else(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "AT_ONCE", 128 * HIDDEN)  # more than one piece a matrix
    folder, out = checkpoint(tmp_path / "m", kind), tmp_path / "out"
    out.mkdir()
    matrices = {name for n in range(2) for name, shape in named(kind, n).items() if len(shape) == 2}
    assert blocks.write(folder, out, "float16") == len(matrices)
    before, after = tensors(folder), tensors(out)
    scales = {name.replace(".weight", ".weight_scale_inv") for name in matrices}
    assert after.keys() == before.keys() | scales
    for name, was in before.items():
        if name in matrices:
            scale = after[name.replace(".weight", ".weight_scale_inv")]
            assert after[name].dtype == torch.float8_e4m3fn
            assert scale.shape == tuple(side // 128 for side in was.shape)
            near = spread(after[name], scale)
            assert (near - was.float()).norm() / was.float().norm() < 0.03
        elif name.endswith("_proj.bias"):  # TurboMind wants them in what it computes in
            assert torch.equal(after[name], was.half())
        else:
            assert after[name].dtype == was.dtype
            assert torch.equal(after[name], was)
    config = json.loads((out / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "fp8"
    assert config["llm_config"]["architectures"] == [kind]
    assert (out / "modeling.py").read_text() == "# the model's own\n"
    # Without such matrices a file is the same one: no room is taken twice.
    shared = "model-00003-of-3.safetensors"
    assert (out / shared).samefile(folder / shared)
    assert load_file(out / "model-00001-of-3.safetensors")  # the library reads what we wrote
    stored = sum(file.stat().st_size for file in out.glob("*.safetensors"))
    told = fp8.size(folder, json.loads((folder / "config.json").read_text()))
    assert 0 <= stored - told < 10_000, "but for the headers"


def test_of_heads_that_are_no_block_the_attention_stays(tmp_path: Path) -> None:
    """TurboMind 0.18 would mix up the scales of InternVL2-1B's heads of 64."""
    folder, out = checkpoint(tmp_path / "m", "Qwen2ForCausalLM", heads=4), tmp_path / "out"
    out.mkdir()
    assert blocks.write(folder, out, "bfloat16") == 8
    small = {name for name, one in tensors(out).items() if one.dtype == torch.float8_e4m3fn}
    assert {name.rpartition(".layers.")[2].split(".")[2] for name in small} == {
        *("o_proj", "gate_proj", "up_proj", "down_proj"),
    }


def test_a_copy_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, models = checkpoint(tmp_path / "m"), tmp_path / "models"
    assert copies.there(folder, models, "bfloat16") is None
    with copies.held(folder, models, "bfloat16") as first:
        written = (first / "model-00001-of-3.safetensors").stat().st_ino
    monkeypatch.setattr(blocks, "write", None)
    with copies.held(folder, models, "bfloat16") as again:
        assert again == first == copies.there(folder, models, "bfloat16")
        assert (again / "model-00001-of-3.safetensors").stat().st_ino == written
    monkeypatch.undo()
    with (first / "model-00001-of-3.safetensors").open("r+b") as file:
        file.truncate(100)  # a disk that was full, a machine that lost power
    with copies.held(folder, models, "bfloat16") as mended:
        assert len(tensors(mended)) == len(tensors(folder)) + 10


KILLED = """
import pathlib, signal, sys
from engine import copies
def rename(self, *to):
    print("written", flush=True)
    signal.pause()
pathlib.Path.rename = rename
with copies.held(*map(pathlib.Path, sys.argv[1:3]), "bfloat16"):
    pass
"""


def test_killed_before_the_end_it_leaves_nothing_that_counts(tmp_path: Path) -> None:
    """And of two that waited for it one writes the copy."""
    folder, models = checkpoint(tmp_path / "m"), tmp_path / "models"
    command = [sys.executable, "-c", KILLED, str(folder), str(models)]
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"written\n"

    def wait(_: int) -> int:
        with copies.held(folder, models, "bfloat16") as copy:
            return copy.stat().st_ino

    with ThreadPoolExecutor() as pool:
        said = pool.map(wait, range(2))
        assert copies.there(folder, models, "bfloat16") is None
        assert len(list((models / "8bit").glob(".new-*"))) == 1
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert len(set(said)) == 1, "both have the same one"
    assert copies.there(folder, models, "bfloat16") is not None
    assert not list((models / "8bit").glob(".*"))


def test_a_disk_without_room_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, models = checkpoint(tmp_path / "m"), tmp_path / "models"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**29))
    with (
        pytest.raises(ModelError, match=r"needs 1\.0 GiB .* 0\.5 are free.*WEIGHT_BITS=16"),
        copies.held(folder, models, "bfloat16"),
    ):
        pass
    assert [one.name for one in (models / "8bit").iterdir()] == ["lock"]


def test_a_full_disk_and_a_broken_weight_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, models = checkpoint(tmp_path / "m"), tmp_path / "models"
    file = folder / "model-00002-of-3.safetensors"
    broken = load_file(file)
    broken["language_model.model.layers.1.attention.wo.weight"][0, 0] = float("nan")
    save_file(broken, file)
    with (
        pytest.raises(ModelError, match=r"layers\.1\.attention\.wo\.weight: .* no finite numbers"),
        copies.held(folder, models, "bfloat16"),
    ):
        pass

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blocks, "write", full)
    with (
        pytest.raises(ModelError, match=r"No space left on device; .*WEIGHT_BITS=16"),
        copies.held(folder, models, "bfloat16"),
    ):
        pass
    assert [one.name for one in (models / "8bit").iterdir()] == ["lock"]


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Make a copy of the checkpoint of this name."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        if not folder.exists():
            checkpoint(folder)
        with copies.held(folder, tmp_path / "models", "bfloat16") as copy:
            time.sleep(0.01)  # its time of use tells it from the next one's
            return copy

    return make


def test_copies_go_with_what_they_were_made_from(made: Callable[..., Path], tmp_path: Path) -> None:
    first, second = made("a"), made("b")
    assert first.exists()
    (tmp_path / "a" / "foodcritic.json").write_text("{}")  # another checkpoint now
    third = made("a")
    assert third != first
    assert not first.exists()
    shutil.rmtree(tmp_path / "b")
    made("a")
    assert not second.exists()
    assert third.exists()


def test_a_few_are_kept_and_those_in_use(made: Callable[..., Path]) -> None:
    found: list[Any] = [made("0")]
    with (found[0] / copies.NOTE).open("rb") as used:
        fcntl.flock(used, fcntl.LOCK_SH)  # as a server does for as long as it runs
        found += [made(str(number)) for number in range(1, copies.KEPT + 2)]
        assert [one.exists() for one in found] == [True, False, *[True] * copies.KEPT]
    made(str(copies.KEPT + 1))
    assert [one.exists() for one in found] == [False, False, *[True] * copies.KEPT]
