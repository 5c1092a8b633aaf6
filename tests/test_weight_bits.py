"""FOODCRITIC_WEIGHT_BITS=8: for which models and cards, what it saves, and what happens else."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

import engine as engines
from engine import apart, choice, copies, doctor, fp8, nano, plan, serving, turbomind
from engine.card import Card
from foodcritic.errors import ModelError
from foodcritic.settings import Settings
from tests.ports import free_port
from tests.test_serving import STANDIN, status, two_gpus

GIB = 2**30
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two H200 and LMDeploy's stand-in, here and in child processes, and no torch."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "torch.py").write_text("raise ImportError('there is no torch')")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "without")
    two_gpus(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{STANDIN}:{tmp_path / 'without'}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.syspath_prepend(STANDIN)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "lmdeploy":
            del sys.modules[name]


def h200(free: float = 139.8, capability: tuple[int, int] = (9, 0)) -> Card:
    memory = int(free * GIB)
    return Card(index=0, name="X", total=memory, free=memory, driver="580", capability=capability)


def checkpoint(folder: Path, *, dtype: str = "BF16", **config: Any) -> Path:
    """InternVL2-2B's language model: every header, no number."""
    llm = {
        "architectures": ["InternLM2ForCausalLM"],
        "max_position_embeddings": 32768,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "hidden_size": 2048,
        "num_hidden_layers": 24,
    } | config.pop("llm", {})
    shapes = {"vision_model.x": (150_000_000,), "language_model.output.weight": (92553, 2048)}
    for number in range(24):
        at = f"language_model.model.layers.{number}."
        wide = int(llm["hidden_size"])
        shapes |= {f"{at}attention.wqkv.weight": (4096, wide)}
        shapes |= {f"{at}attention.wo.weight": (wide, wide)}
        shapes |= {f"{at}feed_forward.w{one}.weight": (8192, wide) for one in (1, 3)}
        shapes |= {f"{at}feed_forward.w2.weight": (wide, 8192)}
    head, at_ = dict[str, Any](), 0
    for name, shape in shapes.items():
        length = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at_, at_ + length]}
        at_ += length
    folder.mkdir()
    told = json.dumps(head).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(told).to_bytes(8, "little") + told)
        file.truncate(8 + len(told) + at_)
    about = {"torch_dtype": "bfloat16", "ps_version": "v2", "llm_config": llm} | config
    (folder / "config.json").write_text(json.dumps(about))
    return folder


def copied(folder: Path, settings: Settings) -> Path:
    """A copy as it would be there, in the eyes of who looks for one."""
    copy = settings.models / "8bit" / copies.key(folder, "bfloat16")
    copy.mkdir(parents=True)
    (copy / "config.json").write_text("{}")
    told = {"source": str(folder), "dtype": "bfloat16", "files": {"config.json": 2}}
    (copy / copies.NOTE).write_text(json.dumps(told))
    return copy


@pytest.fixture
def eight(settings: Settings) -> Settings:
    return settings.model_copy(update={"weight_bits": 8})


def test_the_plan_reckons_with_the_smaller_weights(tmp_path: Path, eight: Settings) -> None:
    """24 layers of 60.8 million numbers: 1.4 GiB less, but for a scale in 16,384 numbers."""
    folder = checkpoint(tmp_path / "2b")
    planned = choice.planned(eight, str(folder), folder, h200(12))
    assert (planned.backend, planned.weight_bits, planned.own_vision) == ("turbomind", 8, True)
    config = json.loads((folder / "config.json").read_text())
    layers = 24 * (4096 * 2048 + 2048 * 2048 + 3 * 8192 * 2048)
    saved = (folder / "model.safetensors").stat().st_size - fp8.size(folder, config)
    assert 0 <= saved - (layers - 4 * layers // 2**14) < 20_000  # the header
    usual = plan.make(folder, h200(12))
    assert usual.weight_bits == 16
    assert planned.max_batch_size > usual.max_batch_size
    assert "weight_bits" in choice.settings_of(planned)


@pytest.mark.parametrize(
    ("changed", "card", "why"),
    [
        ({}, h200(capability=(8, 9)), r"need compute capability 9\.0 or newer, X has 8\.9"),
        ({"ps_version": "v1"}, h200(), "PyTorch engine serves this model"),
        ({"llm": {"architectures": ["Phi3ForCausalLM"]}}, h200(), "PyTorch engine"),
        ({"quantization_config": {"quant_method": "awq"}}, h200(), r"quantised already \(awq\)"),
        (
            {"llm": {"quantization_config": {"quant_method": "gptq"}}},
            h200(),
            r"already \(gptq\)",
        ),
        ({"dtype": "I8"}, h200(), "no matrix whose sides are multiples of 128"),
        ({"llm": {"hidden_size": 2000}}, h200(), "no matrix whose sides are multiples of 128"),
    ],
)
def test_what_cannot_runs_in_16_bits_and_the_doctor_says_why(
    changed: dict[str, Any], card: Card, why: str, tmp_path: Path, eight: Settings
) -> None:
    folder = checkpoint(tmp_path / "m", **changed)
    planned = choice.planned(eight, str(folder), folder, card)
    usual = eight.model_copy(update={"weight_bits": 16})
    assert planned == choice.planned(usual, str(folder), folder, card)
    assert planned.weight_bits == 16
    (said,) = [
        found
        for found in doctor._model(eight, str(folder), card)
        if "FOODCRITIC_WEIGHT_BITS" in found.text
    ]
    assert said.level == "note"
    assert re.search(why, said.text)
    assert said.text.endswith("its weights stay as they are")


def test_other_language_models_are_refused_by_name(tmp_path: Path) -> None:
    config = {"llm_config": {"architectures": ["Qwen3MoeForCausalLM"]}}
    assert "Qwen2ForCausalLM" in (said := fp8.refused(tmp_path, config))
    assert "not of Qwen3MoeForCausalLM" in said


@pytest.mark.parametrize("index", ["[]", '{"weight_map": {"a": "../../b.safetensors"}}', "{"])
def test_a_hostile_index_is_refused(index: str, tmp_path: Path, eight: Settings) -> None:
    folder = checkpoint(tmp_path / "m")
    (folder / fp8.INDEX).write_text(index)
    with pytest.raises(ModelError, match="index"):
        fp8.files(folder)
    assert choice.planned(eight, str(folder), folder, h200()).weight_bits == 16


@pytest.mark.parametrize("shape", [None, "12", [-1, 128], [128.0, 128], [[128], 128]])
def test_a_hostile_table_of_tensors_is_refused(
    shape: object, tmp_path: Path, eight: Settings
) -> None:
    folder = checkpoint(tmp_path / "m")
    one = {"dtype": "BF16", "shape": shape, "data_offsets": [0, 2]}
    told = json.dumps({"language_model.model.layers.0.attention.wo.weight": one}).encode()
    stored = len(told).to_bytes(8, "little") + told + bytes(2)
    (folder / "model.safetensors").write_bytes(stored)
    assert "no readable safetensors" in choice.sixteen(folder, h200())
    assert choice.planned(eight, str(folder), folder, h200()).weight_bits == 16


def test_the_doctor_says_where_the_copy_is(
    tmp_path: Path, eight: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint(tmp_path / "2b")
    given = eight.model_copy(update={"engine": "lmdeploy", "model": str(folder)})

    def said() -> str:
        return "\n".join(found.text for found in doctor.examine(given))

    assert "weight_bits=8" in said()
    assert f"in 8 bits are written to {eight.models / '8bit'} at the first start" in said()
    monkeypatch.setattr(copies, "LEFT", 2**60)
    assert "are free: free some, or set FOODCRITIC_WEIGHT_BITS=16; it runs in 16 bits" in said()
    copy = copied(folder, eight)
    assert f"its weights in 8 bits: {copy}" in said()
    nobody = eight.model_copy(update={"engine": "openvino"})
    assert any("openvino runs without it" in found.text for found in doctor.examine(nobody))


async def test_a_model_that_fails_in_8_bits_is_loaded_in_16(
    tmp_path: Path, eight: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that a shape has none for, say; without torch already the copy fails."""
    folder = checkpoint(tmp_path / "2b", llm={"vocab_size": 100}, dynamic_image_size=True,
        downsample_ratio=0.5, vision_config={"image_size": 448, "patch_size": 14})  # fmt: skip
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((nano.MODEL / name).read_bytes())
    chosen = eight.model_copy(update={"engine": "lmdeploy", "model": str(folder)})
    with structlog.testing.capture_logs() as logs, pytest.raises(ImportError, match="torch"):
        await engines.load(chosen)
    loaded = [one["weight_bits"] for one in logs if one["event"] == "engine.loading"]
    assert loaded == [8, 16]
    (why,) = [one["reason"] for one in logs if one["event"] == "engine.weights_as_they_are"]
    assert "there is no torch; mend that, or set FOODCRITIC_WEIGHT_BITS=16" in why
    assert not list((eight.models / "8bit").glob(".*"))

    def said() -> str:
        return "\n".join(found.text for found in doctor.examine(chosen))

    assert f"{folder} ran in 16 bits when it was last started" in said()
    assert "there is no torch" in said()
    copies.told(eight.models, str(folder), None)  # it was loaded in 8 at last
    assert "ran in 16 bits" not in said()


def test_every_engine_multiplies_as_it_is_told() -> None:
    """api_server has no flag for it; what somebody says himself holds."""
    from lmdeploy.messages import TurbomindEngineConfig

    assert TurbomindEngineConfig().gemm_input_dtype is None
    turbomind.multiply(turbomind.GEMM)
    assert TurbomindEngineConfig(dtype="bfloat16").gemm_input_dtype == "float8_e4m3"
    assert TurbomindEngineConfig(gemm_input_dtype="float16").gemm_input_dtype == "float16"


@pytest.fixture
def serves(tmp_path: Path, eight: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Serve a folder until /v1/models answers; what the server's own log says."""
    monkeypatch.setattr(serving, "TRIES", 1)

    async def serve(folder: Path) -> list[str]:
        stop, port = asyncio.Event(), free_port(3)
        given = eight.model_copy(update={"model": str(folder)})
        running = asyncio.create_task(
            serving.serve(given, stop, host="127.0.0.1", port=port, replicas=1)
        )

        def well() -> bool:
            try:
                return status(f"http://127.0.0.1:{port}/v1/models", {}) == 200
            except OSError:
                return False

        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(well):
                if running.done():
                    running.result()
                await asyncio.sleep(0.1)
        stop.set()
        await running
        lines = (eight.home / "logs" / "engine-0.log").read_text().splitlines()
        return [line.removeprefix("2b: ") for line in lines if line.startswith("2b: /")]

    return serve


@pytest.mark.long
async def test_a_server_that_dies_in_8_bits_goes_on_in_16(
    serves: Any, tmp_path: Path, eight: Settings
) -> None:
    folder = checkpoint(tmp_path / "2b")
    copy = copied(folder, eight)
    (copy / "no-kernel").touch()
    assert await serves(folder) == [f"{copy} in float8_e4m3", f"{folder} in None"]
    assert "its server died 1 times" in copies.failure(eight.models, str(folder))


@pytest.mark.long
async def test_a_copy_that_cannot_be_written_is_no_reason_to_serve_nobody(
    serves: Any, tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path / "2b")
    with structlog.testing.capture_logs() as logs:
        assert await serves(folder) == [f"{folder} in None"]
    (why,) = [one["reason"] for one in logs if one["event"] == "engine.weights_as_they_are"]
    assert "there is no torch" in why


async def test_writing_a_copy_ends_when_we_are_told_to_stop(
    tmp_path: Path, eight: Settings
) -> None:
    folder, stop = checkpoint(tmp_path / "2b"), asyncio.Event()
    stop.set()
    await apart.write(folder, eight.models, "bfloat16", stop)
    assert copies.there(folder, eight.models, "bfloat16") is None
