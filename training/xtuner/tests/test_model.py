# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""Every deviation from XTuner's model gives XTuner's loss and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Toy
from mmengine.config import ConfigDict
from PIL import Image
from test_data import dataset
from xtuner.dataset import InternVL_V1_5_Dataset
from xtuner.dataset.collate_fns import default_collate_fn
from xtuner.model import InternVL_V1_5

from training.xtuner.config import TEMPLATE
from training.xtuner.data import DataError, collate
from training.xtuner.model import Critic, read_weights


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Any:
    """XTuner's forward asks for the rank."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("head_on_labels", [True, False])
@pytest.mark.parametrize("device_resize", [True, False])
def test_loss_and_gradients_are_xtuners(
    toy: Toy, head_on_labels: bool, device_resize: bool
) -> None:
    """With our resize the pixels differ by rounding, so the gradients may by as little."""
    stock = InternVL_V1_5(str(toy.model))
    stock.model.float().load_state_dict(read_weights(Path(toy.model)))
    ours = Critic(model_path=str(toy.model), weights="fp32", head_on_labels=head_on_labels)
    rows = [2, 3, 4, 6]  # one shape of photo, two lengths
    plain = InternVL_V1_5_Dataset(
        str(toy.model), ConfigDict(TEMPLATE), str(toy.data), str(toy.images)
    )
    expected = stock(**default_collate_fn([plain[i] for i in rows]))["loss"]
    source = dataset(toy, device_resize)
    loss = ours(**collate([source[i] for i in rows]))["loss"]
    expected.backward()
    loss.backward()
    tolerance = 2e-3 if device_resize else 1e-5
    assert loss.item() == pytest.approx(expected.item(), rel=tolerance)
    theirs, mine = gradients(stock), gradients(ours)
    assert theirs.keys() == mine.keys()
    for name, gradient in theirs.items():
        distance = (mine[name] - gradient).norm() / (gradient.norm() + 1e-8)
        assert distance < 20 * tolerance, name


def test_soft_answers_are_the_target_of_the_first_token_only(toy: Toy) -> None:
    """One certain soft answer is the plain loss; two give their weighted mean."""
    ours = Critic(model_path=str(toy.model), weights="fp32").eval()
    rows = dataset(toy)
    record = {**rows[2]}
    first, *_ = (label for label in record["labels"] if label != -100)

    def loss(token: int) -> float:
        labels = list(record["labels"])
        labels[next(i for i, label in enumerate(labels) if label != -100)] = token
        return ours(**collate([{**record, "labels": labels}]))["loss"].item()

    def soft(*pairs: tuple[int, float]) -> float:
        return ours(**collate([{**record, "soft": list(pairs)}, rows[3]]))["loss"].item()

    plain = ours(**collate([record, rows[3]]))["loss"].item()
    count = sum(label != -100 for index in (2, 3) for label in rows[index]["labels"])
    per_row = sum(label != -100 for label in record["labels"])
    assert soft((first, 1.0)) == pytest.approx(plain)
    other = plain + (loss(300) - loss(first)) * per_row / count
    assert soft((300, 1.0)) == pytest.approx(other, rel=1e-4)
    mixed = 0.25 * plain + 0.75 * other
    assert soft((first, 0.2), (300, 0.6)) == pytest.approx(mixed, rel=1e-4)


def test_a_photo_enlarged_on_the_device_is_pillows(toy: Toy) -> None:
    ours = Critic(model_path=str(toy.model), weights="fp32")
    transform = dataset(toy).transformer
    photo = Image.open(toy.images / "1.png").convert("RGB")
    theirs = transform(photo)
    mine = ours._pixels(dataset(toy)[2]["pixel_values"][None])[0]
    bytes_off = (mine - theirs).abs() * 255 * 0.229
    assert bytes_off.mean() < 0.3
    # Pillow also rounds and clips between its two passes: more shows where noise is clipped.
    assert (bytes_off < 1.1).float().mean() > 0.99


def test_augmentation_only_happens_in_training(toy: Toy) -> None:
    ours = Critic(model_path=str(toy.model), weights="fp32", augment=True)
    photo = dataset(toy)[2]["pixel_values"][None]
    assert torch.equal(ours.eval()._pixels(photo), ours._pixels(photo))
    assert not torch.equal(ours.train()._pixels(photo), ours._pixels(photo))


def test_a_record_cut_inside_its_picture_is_refused(toy: Toy) -> None:
    short = dataset(toy)
    short.max_length = 60
    with pytest.raises(DataError, match="max_length"):
        short[2]
