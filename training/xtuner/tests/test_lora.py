# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""The tutorial's recipe from end to end on a CPU: adapters, kept features, smaller batches."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import Toy, wide
from peft import LoraConfig

from training.xtuner import cache, checkpoints
from training.xtuner.merge import MergeError, adapted, between, merge
from training.xtuner.model import Critic, plain, read_weights
from training.xtuner.train import CONFIG

ROOT = Path(__file__).parents[3]


def command(toy: Toy, work: Path, *arguments: str) -> list[str]:
    values = ["data.iterations=12", "save.every=4", "data.workers=0", "optimizer.lr=3e-3"]
    values += ["model.lora.r=8", "model.lora.alpha=16"]
    return [
        *(sys.executable, "-m", "training.xtuner.train", "critic-lora"),
        *("--model", str(toy.model), "--data", str(toy.data), "--images", str(toy.images)),
        *("--work", str(work), "--out", str(work / "model"), "--dtype", "fp32"),
        *("--features", str(work / "features"), *arguments),
        *(word for value in values for word in ("--set", value)),
    ]


def test_a_killed_run_goes_on_with_smaller_batches_to_a_model_and_an_adapter(
    toy: Toy, tmp_path: Path
) -> None:
    tiled, work = wide(toy, tmp_path / "tiled"), tmp_path / "work"
    running = subprocess.Popen(command(tiled, work), cwd=ROOT)
    deadline = time.monotonic() + 300
    while checkpoints.last(work) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    photos = [tiled.images / record["image"] for record in tiled.records if "image" in record]
    (folder,) = (work / "features").iterdir()
    assert cache.missing(folder, photos) == []
    done = subprocess.run(
        command(tiled, work, "--split", "2"),
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    steps = [json.loads(line) for line in (work / "progress.jsonl").read_text().splitlines()]
    assert steps[-1]["iteration"] == steps[-1]["iterations"] == 24, "half the batch, twice as many"
    assert steps[-1]["lr"] < 3e-4, "the rate has come down over the same data"
    assert steps[-1]["loss"] < 5.9, "less than a model that knows nothing of its 400 tokens"
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(said["answers"]) == {"model", "adapter"}
    names = {file.name for file in (work / "model-adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "mlp1.safetensors"} <= names
    before, after = read_weights(tiled.model), read_weights(work / "model")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("mlp1" in name for name in changed)
    assert any("wqkv" in name for name in changed)
    assert not any("vision_model" in name or "tok_embeddings" in name for name in changed)
    with pytest.raises(MergeError, match="does not fit"):
        merge(work / CONFIG, checkpoints.last(work) or work, _smaller(tmp_path, tiled), work / "x")


def _smaller(folder: Path, toy: Toy) -> Path:
    """A base that lacks a projector."""
    from safetensors.torch import save_file

    base = folder / "smaller"
    base.mkdir()
    (base / "config.json").write_bytes((toy.model / "config.json").read_bytes())
    kept = {name: t for name, t in read_weights(toy.model).items() if not name.startswith("mlp1")}
    save_file(kept, base / "model.safetensors")
    return base


def test_an_adapter_is_added_scaled() -> None:
    pair = {"A": torch.tensor([[1.0, 2.0]]), "B": torch.tensor([[3.0], [4.0]])}
    expected = torch.tensor([[7.0, 12.0], [8.0, 17.0]])
    assert torch.equal(adapted(torch.eye(2), pair, 2.0), expected)


def test_kept_features_stay_within_their_bound_the_oldest_go_first(tmp_path: Path) -> None:
    photos = []
    for number in range(6):
        photos.append(tmp_path / f"{number}.jpg")
        photos[-1].write_bytes(bytes([number]))
    tiles = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)

    def look(given: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(given), 250, 1)  # 2,000 bytes a photo, and a header

    old, new = tmp_path / "features" / "old", tmp_path / "features" / "new"
    first = [(photo, tiles) for photo in photos[:3]]
    assert cache.fill(old, first, look, 10_000, photos[:3], batch=3) == 3
    made = cache.fill(new, [(p, tiles) for p in photos], look, 10_000, photos, batch=3)
    held = sum(file.stat().st_size for file in (tmp_path / "features").rglob("*.safetensors"))
    assert held <= 10_000 + 6 * 200  # headers
    assert made >= 4, "what another encoder left makes room"
    assert cache.read(new, photos[0]) is not None
    assert cache.read(new, photos[5]) is None or made == 6
    assert len(cache.missing(new, photos)) == 6 - made


def test_a_half_written_file_is_no_features(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"x")
    (tmp_path / cache.name(photo)).write_bytes(b"\x10\x00")
    assert cache.read(tmp_path, photo) is None


def test_weights_between_base_and_trained() -> None:
    base, trained = torch.tensor([1.0, 2.0]).half(), torch.tensor([3.0, 0.0])
    assert torch.equal(between(base, trained, 0.75), torch.tensor([2.5, 0.5]))
    assert torch.equal(between(base, trained, 1.0), trained)


def test_exact_weights_are_read_beneath_adapters(toy: Toy) -> None:
    lora = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"}
    made = Critic(
        model_path=str(toy.model),
        freeze_llm=True,
        llm_lora={"type": LoraConfig, "target_modules": None, **lora},
        weights="fp32",
    )
    held = {plain(name): tensor for name, tensor in made.model.state_dict().items()}
    for name, tensor in read_weights(toy.model).items():
        assert torch.equal(held[name], tensor.float()), name
