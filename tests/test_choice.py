"""Which engine answers, on which card, with which settings, and what the doctor says of it."""

import asyncio
import itertools
import json
import stat
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engine as engines
from engine import card, choice, doctor, hub, nano, plan, serving
from engine.card import Card
from engine.openvino import OpenVINO
from foodcritic.errors import ModelError, SettingsError
from foodcritic.settings import Settings
from tests import checkpoints

GIB = 2**30
#: What nvidia-smi prints for an H200, asked for `card.QUERY`.
H200 = "0, NVIDIA H200, 143771, 143155, 580.159.04, 9.0, GPU-8f2c0001-aa"
T4 = "0, Tesla T4, 15360, 14900, 535.54.03, 7.5, GPU-77ab0002-bb"


@pytest.fixture(autouse=True)
def lmdeploy_to_look_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What it serves, where it is not installed."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "standin")
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "lmdeploy":
            del sys.modules[name]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the machine have these GPUs and LMDeploy, or not."""

    def has(*cards: str, lmdeploy: bool = True) -> None:
        tool = tmp_path / "bin" / "nvidia-smi"
        tool.parent.mkdir(exist_ok=True)
        lines = "\n".join(cards) or "No devices were found"
        tool.write_text(f"#!/bin/sh\ncat <<'X'\n{lines}\nX\n")
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(choice, "installed", lambda: lmdeploy)

    return has


def with_(settings: Settings, **values: object) -> Settings:
    return settings.model_copy(update=values)


def h200(free: float = 139.8) -> Card:
    memory = int(free * GIB)
    return Card(index=0, name="H200", total=memory, free=memory, driver="580", capability=(9, 0))


def checkpoint(folder: Path, *, weights: float = 4.1, **llm: object) -> Path:
    """config.json and weights of InternVL2-2B's size, without the weights."""
    config = {
        "torch_dtype": "bfloat16",
        "ps_version": "v2",
        "llm_config": {
            "architectures": ["InternLM2ForCausalLM"],
            "max_position_embeddings": 32768,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "hidden_size": 2048,
            "num_hidden_layers": 24,
        }
        | llm,
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(int(weights * GIB))
    return folder


def test_cards_are_read_from_the_driver(machine: Any) -> None:
    machine(H200, T4)
    one, two = card.cards()
    assert (one.name, one.free, one.capability) == ("NVIDIA H200", 143155 * 2**20, (9, 0))
    assert two.capability == (7, 5)
    machine()
    assert card.cards() == []


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        *[("1", [1]), ("1,0", [1, 0]), ("", []), ("-1", []), ("0,7,1", [0])],
        *[("GPU-77ab", [1]), ("GPU-77ab,GPU-8f2c", [1, 0]), ("GPU-0", []), ("MIG-1", [0, 1])],
    ],
)
def test_cards_that_cuda_hides_are_not_there(
    machine: Any, monkeypatch: pytest.MonkeyPatch, told: str, shown: list[int]
) -> None:
    """Else the plan is made from another card's memory."""
    machine(H200, T4.replace("0,", "1,", 1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", told)
    assert [one.index for one in card.cards()] == shown


def test_no_driver_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert card.cards() == []


def test_auto_takes_the_gpu_only_when_all_is_there(
    machine: Any, settings: Settings, tmp_path: Path
) -> None:
    """And says why not, where a GPU stands idle."""
    machine()
    assert choice.choose(settings) == choice.Choice(kind="openvino")
    machine(H200, lmdeploy=False)
    assert "make gpu" in choice.choose(settings).reason
    machine(H200)
    assert hub.DEFAULT in choice.choose(settings).reason
    assert choice.choose(with_(settings, trusted_models=(hub.DEFAULT,))).kind == "lmdeploy"
    folder = checkpoint(tmp_path / "2b")
    assert choice.choose(with_(settings, model=str(folder))).kind == "lmdeploy"
    (folder / "openvino_language_model.xml").touch()
    assert choice.choose(with_(settings, model=str(folder))).kind == "openvino"
    assert choice.choose(with_(settings, engine_url="http://there")).kind == "openai"
    assert choice.choose(with_(settings, engine="openvino")).kind == "openvino"


async def test_auto_falls_back_to_nano(machine: Any, settings: Settings, tmp_path: Path) -> None:
    """A model that does not fit is no reason to answer nobody."""
    machine("0, Small, 2048, 2000, 580.1, 8.6, GPU-1")
    small = with_(settings, model=str(checkpoint(tmp_path / "2b")))
    engine = await engines.load(small)
    assert isinstance(engine, OpenVINO)
    assert engine.model == "nano"
    assert choice.served(small, engine) == "nano"
    await engine.close()


async def test_auto_falls_back_from_a_broken_installation(
    machine: Any, settings: Settings, tmp_path: Path
) -> None:
    """A library of CUDA's that is missing comes as an ImportError or an OSError."""
    machine(H200)
    folder = checkpoint(tmp_path / "2b", vocab_size=100)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((nano.MODEL / name).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config |= {"dynamic_image_size": True, "downsample_ratio": 0.5}
    config["vision_config"] = {"image_size": 448, "patch_size": 14}
    (folder / "config.json").write_text(json.dumps(config))
    engine = await engines.load(with_(settings, model=str(folder)))  # no torch here
    assert engine.model == "nano"
    await engine.close()
    with pytest.raises(ImportError):
        await engines.load(with_(settings, model=str(folder), engine="lmdeploy"))


@pytest.mark.parametrize(
    ("cards", "lmdeploy", "reason"), [((), True, "there is none"), ((H200,), False, "make gpu")]
)
async def test_a_model_for_gpus_is_answered_for_by_nano(
    machine: Any, settings: Settings, cards: tuple[str, ...], lmdeploy: bool, reason: str
) -> None:
    """A name on the hub is no folder that the CPU could run."""
    machine(*cards, lmdeploy=lmdeploy)
    named = with_(settings, model=hub.DEFAULT)
    assert reason in choice.choose(named).reason
    assert "nano answers instead" in choice.choose(named).reason
    engine = await engines.load(named)
    assert (engine.model, choice.served(named, engine)) == ("nano", "nano")
    await engine.close()
    with pytest.raises(ModelError, match="no model folder"):
        await engines.load(with_(settings, model="./typed/wrong"))


def test_a_folder_may_begin_with_a_tilde(
    machine: Any, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shell looks at .env."""
    machine()
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "openvino_language_model.xml").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert choice.choose(with_(settings, model="~/m")) == choice.Choice(kind="openvino")


async def test_what_is_asked_for_and_missing_is_an_error(machine: Any, settings: Settings) -> None:
    wanted = with_(settings, engine="lmdeploy")
    machine(H200, lmdeploy=False)
    with pytest.raises(SettingsError, match="make gpu"):
        await engines.load(wanted)
    machine()
    with pytest.raises(SettingsError, match="NVIDIA GPU"):
        await engines.load(wanted)


def test_the_plan_uses_the_memory_there_is(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "2b")
    large, small = plan.make(folder, h200()), plan.make(folder, h200(12))
    assert (large.session_len, large.max_batch_size, large.roomy) == (16384, 159, True)
    assert large.max_prefill_token_num + large.max_batch_size <= large.session_len
    assert (small.cache_max_entry_count, small.roomy) == (plan.SHARE, False)
    assert small.max_batch_size < large.max_batch_size
    assert plan.make(folder, h200(12), kv_bits=8).max_batch_size > small.max_batch_size
    assert plan.make(folder, h200(), beside=True).roomy is False
    with pytest.raises(ModelError, match=r"needs 7\.\d GiB .* FOODCRITIC_KV_BITS=8"):
        plan.make(folder, h200(7))


def test_a_model_that_has_its_card_for_itself_is_known_before_it_is_loaded(
    machine: Any, settings: Settings, tmp_path: Path
) -> None:
    """By the whole card's memory: a training run may have most of it now."""
    wanted = with_(settings, model=str(checkpoint(tmp_path / "2b")))
    taken = "0, NVIDIA A10, 24576, 900, 580.1, 8.6, GPU-1"
    machine(taken)
    assert choice.exclusive(wanted)
    machine(H200)
    assert not choice.exclusive(wanted)
    assert choice.exclusive(with_(wanted, meme_model="other"))
    assert not choice.exclusive(with_(wanted, engine="openvino"))
    machine()
    assert not choice.exclusive(with_(wanted, engine="lmdeploy"))
    machine(taken)
    trusted = with_(settings, trusted_models=(hub.DEFAULT,))
    assert not choice.exclusive(trusted), "it was never fetched"


def test_a_shared_card_is_left_to_the_others(
    machine: Any, settings: Settings, tmp_path: Path
) -> None:
    """What LMDeploy takes is a share of what the whole card has free, weights loaded."""
    folder = checkpoint(tmp_path / "2b")
    weights, free = (folder / "model.safetensors").stat().st_size, h200().free
    for gigabytes in (10, 24, 100, 149):
        capped = with_(settings, gpu_memory_gb=gigabytes)
        made = choice.planned(capped, str(folder), folder, h200())
        cache = made.cache_max_entry_count * (free - weights)
        assert 0 < cache + weights + plan.WORKING <= gigabytes * 1e9
        assert made.max_batch_size * plan.USUAL * 98304 <= cache
        assert made.roomy is False
    half = choice.planned(with_(capped, meme_model="other"), str(folder), folder, h200())
    assert half.cache_max_entry_count < made.cache_max_entry_count / 2
    with pytest.raises(
        ModelError, match=r"needs 7\.\d GiB .*GPU_MEMORY_GB leaves it 6\.5: raise it"
    ):
        choice.planned(with_(settings, gpu_memory_gb=7), str(folder), folder, h200())
    machine(H200)
    (line,) = [
        one.text
        for one in doctor.examine(with_(settings, model=str(folder), gpu_memory_gb=24))
        if "FOODCRITIC_GPU_MEMORY_GB" in one.text
    ]
    assert line == "FOODCRITIC_GPU_MEMORY_GB=24: of 151 GB, all models together"


def test_a_server_of_its_own_leaves_no_room_for_a_second_model(
    settings: Settings, tmp_path: Path
) -> None:
    """It never loads one, neither to change to nor for memes."""
    folder = checkpoint(tmp_path / "2b")
    with_memes = with_(settings, meme_model="other")
    made = choice.planned(with_memes, str(folder), folder, h200(), alone=True)
    assert (made.cache_max_entry_count, made.max_batch_size) == (plan.SHARE, plan.MOST_AT_ONCE)
    assert made.roomy is False


def test_keys_and_values_of_internvl2_2b_take_98_kilobytes_a_token(tmp_path: Path) -> None:
    """24 layers, 8 heads of 128, keys and values, 2 bytes."""
    folder = checkpoint(tmp_path / "2b")
    config = json.loads((folder / "config.json").read_text())
    assert plan.kv_bytes(config, folder, 16) == 98304
    with pytest.raises(ModelError, match="no InternVL2"):
        plan.kv_bytes({"llm_config": {}}, folder, 16)


def test_numbers_are_kept_in_the_type_they_were_stored_in(tmp_path: Path) -> None:
    assert plan.make(checkpoint(tmp_path / "2b"), h200()).dtype == "bfloat16"
    assert plan.make(nano.MODEL, h200()).dtype == "float16"
    file = tmp_path / "2b" / "config.json"
    file.write_text(file.read_text().replace('"torch_dtype"', '"dtype"'))  # transformers 4.56
    assert plan.make(tmp_path / "2b", h200()).dtype == "bfloat16"


def test_the_memes_model_has_a_revision_of_its_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No commit is in two repositories."""
    asked = list[tuple[str, str | None]]()

    def fetch(
        model: str, revision: str | None, pinned: str | None, cache: Path
    ) -> tuple[Path, str]:
        asked.append((model, revision))
        return tmp_path, "c0ffee"

    monkeypatch.setattr(hub, "_huggingface", fetch)
    both = with_(settings, model="org/critic", meme_model="org/meme", model_revision="decade")
    for one in (both, both.for_memes()):
        assert one.model
        hub.find(one.model, one)
    assert asked == [("org/critic", "decade"), ("org/meme", None)]


def test_code_runs_only_for_models_on_the_list(settings: Settings, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "2b")
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["x.py", null]}}')
    assert hub.brings_code(folder)
    assert not hub.trusted(str(folder), folder, settings)
    assert hub.trusted(str(folder), folder, with_(settings, trusted_models=(str(folder),)))
    assert hub.trusted("org/m", folder, with_(settings, trusted_models=("org/m",)))
    assert hub.trusted("nano", nano.MODEL, settings)
    (
        folder / "tokenizer.json"
    ).touch()  # LMDeploy reads config.json with the model's code all the same
    with pytest.raises(ModelError, match="FOODCRITIC_TRUSTED_MODELS"):
        choice.planned(settings, str(folder), folder, h200())


def test_code_of_another_repository_never_runs(settings: Settings, tmp_path: Path) -> None:
    """It would be fetched at its newest, whatever commit the model is pinned to."""
    folder = checkpoint(tmp_path / "2b")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "org/other--configuration.Config", "AutoModel": "m.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    trusting = with_(settings, trusted_models=(str(folder), "org/other"))
    with pytest.raises(ModelError, match="code of org/other, whatever that is by then"):
        choice.planned(trusting, str(folder), folder, h200())


@pytest.mark.parametrize(
    ("file", "holds", "said"),
    [
        ("adapter_config.json", {}, "a LoRA adapter alone: merge it"),
        ("config.json", {"architectures": ["InternVLForConditionalGeneration"]}, "without -HF"),
        ("config.json", {}, "is no InternVL2's"),
    ],
)
def test_other_folders_are_refused_in_plain_words(
    settings: Settings, tmp_path: Path, file: str, holds: object, said: str
) -> None:
    (tmp_path / file).write_text(json.dumps(holds))
    with pytest.raises(ModelError, match=said):
        choice.planned(settings, str(tmp_path), tmp_path, h200())


def test_the_pytorch_engine_is_planned_as_it_runs(settings: Settings, tmp_path: Path) -> None:
    """Keys and values in 8 bits and pictures in the prefix cache are TurboMind's alone."""
    folder = checkpoint(tmp_path / "4b", architectures=["Phi3ForCausalLM"])
    usual, half = (
        choice.planned(with_(settings, kv_bits=bits), str(folder), folder, h200(12))
        for bits in (16, 8)
    )
    assert usual == half
    assert (usual.backend, usual.prefix_caching, usual.quant_policy) == ("pytorch", False, 0)


def test_turbomind_gets_our_vision_encoder(settings: Settings, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "2b")
    planned = choice.planned(settings, str(folder), folder, h200())
    assert (planned.backend, planned.own_vision) == ("turbomind", True)
    assert planned.vision_bytes == 2**30
    small = choice.planned(settings, str(folder), folder, h200(12)).vision_bytes
    assert 2**27 < small < 2**30


def test_pickles_are_not_fetched() -> None:
    """Loading one can run code, trusted model or not."""
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    kept = ["config.json", "model-00001-of-2.safetensors", "openvino_language_model.bin"]
    pickles = ["pytorch_model.bin", "pytorch_model-00001-of-2.bin", "x/weights.pt", "a.pkl"]
    fetched = filter_repo_objects([*kept, *pickles], ignore_patterns=list(hub.IGNORED))
    assert list(fetched) == kept


def test_a_model_by_name_keeps_its_commit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = list[tuple[str | None, str | None]]()

    def fetch(
        model: str, revision: str | None, pinned: str | None, cache: Path
    ) -> tuple[Path, str]:
        asked.append((revision, pinned))
        return tmp_path, pinned or {None: "c0ffee", "v2": "decade"}[revision]

    monkeypatch.setattr(hub, "_huggingface", fetch)
    assert hub.find("org/model", settings) == tmp_path
    hub.find("org/model", settings)
    second = with_(settings, model_revision="v2")
    hub.find("org/model", second)
    hub.find("org/model", second)
    hub.find("org/model", settings)
    first = (None, "c0ffee")
    assert asked == [(None, None), first, ("v2", None), ("v2", "decade"), first]
    (settings.models / "pins.json").write_text("{")
    with pytest.raises(ModelError, match=r"pins\.json is unreadable"):
        hub.find("org/model", settings)


def test_half_a_download_is_gone_on_with(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's client takes any folder of a revision for all of it when it may ask no network."""
    import huggingface_hub

    snapshots = settings.models / "hub" / "models--org--m" / "snapshots" / ("a" * 40)
    local = list[bool]()

    def download(model: str, *, local_files_only: bool, **given: object) -> str:
        local.append(local_files_only)
        if not local_files_only:
            snapshots.mkdir(parents=True, exist_ok=True)
            if len(local) == 1:
                raise OSError("the network went away")
        return str(snapshots)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    tagged = with_(settings, model_revision="v2")
    with pytest.raises(ModelError, match="the network went away"):
        hub.find("org/m", tagged)
    assert hub.find("org/m", tagged) == hub.find("org/m", tagged) == snapshots
    assert local == [False, False, True]


def test_what_modelscope_gave_once_is_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    local = list[bool]()

    def download(model: str, *, local_files_only: bool, **given: object) -> str:
        local.append(local_files_only)
        return str(tmp_path)

    package = types.ModuleType("modelscope")
    package.snapshot_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modelscope", package)
    chosen = with_(settings, model_hub="modelscope")
    assert hub.find("org/m", chosen) == hub.find("org/m", chosen) == tmp_path
    assert local == [False, True]


@pytest.mark.parametrize("name", ["../secret", "nothing here", "a/b/c", "-x"])
def test_what_is_neither_folder_nor_name_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ModelError, match="neither a model folder nor a name"):
        hub.find(name, settings)


def test_a_hub_that_cannot_be_reached_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: object) -> tuple[Path, str]:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(hub, "_huggingface", fetch)
    with pytest.raises(ModelError, match="org/model cannot be had from huggingface: no route"):
        hub.find("org/model", settings)


def test_the_doctor_says_what_is_wrong(machine: Any, settings: Settings, tmp_path: Path) -> None:
    machine(H200)
    found = [f.text for f in doctor.examine(with_(settings, engine="openvino"))]
    assert any("NVIDIA H200, 139.8 of 140.4 GiB free, driver 580.159.04" in f for f in found)
    machine()
    levels = {f.level: f.text for f in doctor.examine(with_(settings, engine="lmdeploy"))}
    assert "cannot work without a GPU" in levels["wrong"]


def test_the_doctor_tries_the_folder_that_a_cpu_is_to_serve(
    machine: Any, settings: Settings, tmp_path: Path
) -> None:
    """What the first question would be refused with."""
    machine()

    def said(model: Path) -> tuple[str, str]:
        found = [*doctor.examine(with_(settings, model=str(model)))]
        one = next(f for f in found if str(model) in f.text)
        return one.level, one.text

    level, text = said(tmp_path / "gone")
    assert (level, "there is no model folder" in text) == ("wrong", True)
    assert "holds no readable config.json" in said(tmp_path)[1]
    assert said(checkpoints.write(tmp_path / "made"))[0] == "ok"


@pytest.mark.parametrize(
    ("one", "cuda", "said"),
    [
        (H200, "13.0.96", []),
        (T4, "12.8.90", []),
        (T4, "13.0.96", ["driver 535.54.03 is too old: torch for CUDA 13 needs 580 or newer"]),
        (
            "0, V100, 16384, 16300, 580.1, 7.0, GPU-1",
            "13.0.96",
            [
                "GPU 0 is too old: torch for CUDA 13 needs compute capability 7.5 or newer",
            ],
        ),
    ],
)
def test_the_doctor_knows_what_torch_needs(
    machine: Any,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    one: str,
    cuda: str,
    said: list[str],
) -> None:
    """Else the model fails to load in words of CUDA's own."""
    machine(one)
    versions = {"nvidia-cuda-runtime": cuda, "lmdeploy": "0.18.0"}
    monkeypatch.setattr(doctor, "_version", versions.get)
    assert [f.text for f in doctor.examine(settings) if f.level == "wrong"] == said


def test_the_doctor_shows_the_plan_of_a_model_by_name_once_it_is_here(
    machine: Any, settings: Settings, tmp_path: Path
) -> None:
    machine(H200)
    chosen = with_(settings, trusted_models=(hub.DEFAULT,), meme_model="org/meme")

    def said() -> str:
        return "\n".join(f.text for f in doctor.examine(chosen))

    assert f"{hub.DEFAULT} comes from huggingface at the first start" in said()
    assert "org/meme comes from" in said()
    commit = "c0ffee" * 6
    snapshots = settings.models / "hub" / f"models--{hub.DEFAULT.replace('/', '--')}" / "snapshots"
    snapshots.mkdir(parents=True)
    checkpoint(snapshots / commit)
    (settings.models / "pins.json").write_text(json.dumps({f"huggingface:{hub.DEFAULT}": commit}))
    assert f"{hub.DEFAULT} at {commit}: backend=" in said()
    assert "session_len=16384" in said()
    assert "comes from huggingface" in said()  # the other one


def test_the_doctor_says_what_else_has_the_card(machine: Any, settings: Settings) -> None:
    machine(H200.replace("143155", "43155"))
    notes = [f.text for f in doctor.examine(settings) if f.level == "note"]
    assert any("98.3 GiB are taken" in note for note in notes)


def test_the_doctor_is_a_command() -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "foodcritic", "engine", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(asked.stdout)
    assert any(one["text"].startswith("FOODCRITIC_ENGINE=auto") for one in found)


def test_the_servers_command_holds_our_settings_and_no_key(tmp_path: Path) -> None:
    made = plan.make(checkpoint(tmp_path / "2b"), h200())
    command = serving.api_server(tmp_path, "2b", made, host="127.0.0.1", port=1234)
    told = dict(itertools.pairwise(command))
    assert told["--session-len"] == "16384"
    assert told["--dtype"] == "bfloat16"
    assert "--enable-prefix-caching" in command
    assert "--trust-remote-code" not in command
    assert "--api-keys" not in command


async def test_serving_needs_a_card_for_each_replica(machine: Any, settings: Settings) -> None:
    machine(H200)
    with pytest.raises(SettingsError, match="has 1 NVIDIA"):
        await serving.serve(settings, asyncio.Event(), host="127.0.0.1", port=1, replicas=2)
    local = with_(settings, model=str(nano.MODEL))
    with pytest.raises(SettingsError, match="FOODCRITIC_ENGINE_KEY"):
        await serving.serve(local, asyncio.Event(), host="0.0.0.0", port=1, replicas=1)
