"""Vision pre-training: the views, the ring, the inflation, and a whole small distillation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("transformers")

from training.nano import augment, distil, packs, ring, student, teachers, vision  # noqa: E402


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Chance is the same in every run."""
    torch.manual_seed(0)


def _photos(count: int = 48) -> packs.Photos:
    """Noise in two tints, so that there is something to learn."""
    random = np.random.default_rng(0)
    images = random.integers(0, 120, (count, packs.SIZE, packs.SIZE, 3), dtype=np.uint8)
    labels = np.arange(count) % 6
    images[labels == 0, :, :, 0] += 120
    return packs.Photos(
        images=images,
        labels=labels,
        val=np.arange(count) >= count - 12,
        ids=np.arange(count),
        names=tuple("abcdef"),
    )


def test_views_are_finite_and_all_different() -> None:
    """The same photo gives another view each time, at the same size."""
    same = torch.from_numpy(_photos(1).images).permute(0, 3, 1, 2).repeat(32, 1, 1, 1)
    views = augment.views(same)
    assert views.shape == same.shape
    assert torch.isfinite(views).all()
    assert len(views.flatten(1).unique(dim=0)) == 32


def test_views_without_strength_or_crop_are_the_photo_or_its_mirror() -> None:
    """Every augmentation fades out with its strength."""
    image = torch.from_numpy(_photos(1).images).permute(0, 3, 1, 2)
    view = augment.views(image, least_area=1.0, strength=0.0)
    plain = augment.clean(image)
    # A crop of the whole photo still squeezes one side by up to a third, so only compare means.
    assert torch.allclose(view.mean(), plain.mean(), atol=0.05)


def test_pixel_shuffle_is_the_shipped_models() -> None:
    """mlp1 is only worth keeping if its input is laid out as InternVL2 lays it out."""
    from engine.nano.configuration_internvl_chat import InternVLChatConfig
    from engine.nano.modeling_internvl_chat import InternVLChatModel

    patches = torch.randn(2, 256, 8)
    config = InternVLChatConfig(
        vision_config={"num_hidden_layers": 1}, llm_config={"num_hidden_layers": 1}
    )
    grid = patches.view(2, 16, 16, 8)
    shipped = InternVLChatModel(config).pixel_shuffle(grid, 0.5).flatten(1, 2)
    assert torch.equal(student.shuffle(patches), shipped)


def test_the_inflated_kernel_sees_a_repeated_photo_as_the_small_one() -> None:
    """Spreading a weight over the pixels it covers is exact for photos enlarged by repetition."""
    key = "vision_model.embeddings.patch_embedding.weight"
    small = torch.randn(5, 3, student.SMALL_PATCH, student.SMALL_PATCH, dtype=torch.float64)
    large = student.inflate({key: small})[key]
    photo = torch.randn(1, 3, student.SMALL, student.SMALL, dtype=torch.float64)
    factor = student.LARGE // student.SMALL
    enlarged = photo.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    a = torch.nn.functional.conv2d(photo, small, stride=student.SMALL_PATCH)
    b = torch.nn.functional.conv2d(enlarged, large, stride=student.LARGE_PATCH)
    torch.testing.assert_close(a, b)


def test_the_ring_keeps_views_with_their_targets() -> None:
    """Old views make room for new ones, and each draw pairs a view with what was said of it."""
    latest = ring.Ring(8, 3, 4, torch.device("cpu"))
    for number in range(12):
        value = float(number)
        latest.add(torch.full((1, 3, 4, 4), value), torch.full((1, 3), value))
    views, targets = latest.draw(200)
    assert torch.equal(views[:, 0, 0, 0], targets[:, 0])
    assert set(targets[:, 0].tolist()) == {float(n) for n in range(4, 12)}


def test_a_budget_spent_before_the_start_is_over() -> None:
    """A start slower than the whole budget ends the training instead of never ending it."""
    assert teachers.Clock(-3.0).progress == 1.0
    assert teachers.Clock(1e6, spent=5e5).progress == pytest.approx(0.5, abs=0.01)


def test_a_small_distillation_runs_resumes_and_leaves_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Teacher, student on two processes, a stop and a second run: all from the command line."""
    monkeypatch.setenv("MASTER_PORT", "29617")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data, work, out = (tmp_path / name for name in ("data", "work", "out"))
    packs.save(_photos(), data)
    places = ["--data", str(data), "--work", str(work), "--batch", "8", "--eager"]
    one = ["--processes", "1", "--models", "resnet10t"]
    vision.main(["teachers", *places, *one, "--seconds", "25"])
    assert list(work.glob("teacher-0-resnet10t.pt"))
    learn = ["student", *places, "--out", str(out), "--depth", "1", "--processes", "2"]
    vision.main([*learn, "--seconds", "4", "--until", "0"])
    first = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert not (out / "soft.npz").exists()
    vision.main([*learn, "--seconds", "4"])
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert last["steps"] > first["steps"]
    weights = distil.weights(out)
    student.Student(6, depth=1).load_state_dict(weights)
    soft = np.load(out / "soft.npz")
    assert soft["rows"].tolist() == list(range(48))


def test_a_student_without_teachers_is_refused(tmp_path: Path) -> None:
    """The message says what to do first."""
    plan = distil.Plan(data=tmp_path, work=tmp_path, out=tmp_path, total_seconds=1, until=0)
    data = teachers.Data(_photos(), torch.device("cpu"))
    with pytest.raises(FileNotFoundError, match="train the teachers first"):
        distil.faculty(plan, data)
