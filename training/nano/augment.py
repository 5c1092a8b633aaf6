# mypy: disable-error-code="import-not-found"
"""Training views of 64-pixel photos, made for a whole batch at once on the accelerator.

timm's `create_transform` works photo by photo on the CPU: eight teachers ask for 150,000 views a
second, far past what the host's cores deliver, so the random resized crop, the rotation and the
colour operations of RandAugment are done here as one affine sampling and one colour matrix a photo.
Mixup and CutMix are timm's own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: ImageNet's channel means and deviations, which InternVL normalises with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
#: Luma weights of ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)
#: The cross product with (1, 1, 1), which generates rotations about the grey axis.
GREY_AXIS = (0.0, -1.0, 1.0, 1.0, 0.0, -1.0, -1.0, 1.0, 0.0)


@functools.cache
def _constant(values: Sequence[float], device: torch.device) -> Tensor:
    """A small tensor, copied to the device once: each copy would wait for all queued work."""
    return torch.tensor(values, device=device)


def clean(images: Tensor) -> Tensor:
    """Normalise uint8 photos (b, 3, h, w) to float32, unaugmented."""
    return _normalise(images.float() / 255)


def views(images: Tensor, *, least_area: float = 0.25, strength: float = 1.0) -> Tensor:
    """Return one random normalised view, float32 (b, 3, h, w), of each uint8 photo."""
    x = _geometry(images.float() / 255, least_area, strength)
    x = _sharpness(_colour(x, strength), strength)
    return _erase(_normalise(x.clamp(0, 1)), 0.25 * strength)


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    return torch.empty(x.shape[0], device=x.device).uniform_(low, high)


def _some(x: Tensor, probability: float) -> Tensor:
    return torch.rand(x.shape[0], device=x.device) < probability


def _geometry(x: Tensor, least_area: float, strength: float) -> Tensor:
    """Random resized crop, flip, and for half of the photos rotation and shear."""
    side = _uniform(x, least_area, 1).sqrt()
    ratio = _uniform(x, math.log(3 / 4), math.log(4 / 3)).div(2).exp()
    wide, high = (side * ratio).clamp(max=1), (side / ratio).clamp(max=1)
    angle = _uniform(x, -0.4, 0.4) * _some(x, 0.5) * strength
    shear = _uniform(x, -0.2, 0.2) * _some(x, 0.5) * strength
    flip = torch.where(_some(x, 0.5), -1.0, 1.0)
    theta = torch.zeros(x.shape[0], 2, 3, device=x.device)
    theta[:, 0, 0] = wide * flip * angle.cos()
    theta[:, 0, 1] = wide * (shear - angle.sin())
    theta[:, 1, 0] = high * flip * angle.sin()
    theta[:, 1, 1] = high * angle.cos()
    theta[:, 0, 2] = _uniform(x, -1, 1) * (1 - wide)
    theta[:, 1, 2] = _uniform(x, -1, 1) * (1 - high)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _colour(x: Tensor, strength: float) -> Tensor:
    """Brightness, contrast, saturation and hue as one matrix a photo; sometimes grey, solarised."""
    spread = 0.4 * strength
    luma = _constant(LUMA, x.device)
    eye = torch.eye(3, device=x.device)
    grey = luma.expand(3, 3)
    saturation = _uniform(x, 1 - spread, 1 + spread) * ~_some(x, 0.04 * strength)
    turn = _uniform(x, -0.25, 0.25) * _some(x, 0.3) * strength
    # Rodrigues' rotation about the grey axis turns the hue.
    axis = _constant(GREY_AXIS, x.device).view(3, 3) / math.sqrt(3)
    cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
    hue = cos * eye + sin * axis + (1 - cos) / 3
    matrix = (eye * saturation[:, None, None] + grey * (1 - saturation)[:, None, None]) @ hue
    contrast = _uniform(x, 1 - spread, 1 + spread)
    gain = contrast * _uniform(x, 1 - spread, 1 + spread)
    mean = torch.einsum("bchw,c->b", x, luma) / (x.shape[2] * x.shape[3])
    offset = mean * (gain / contrast) * (1 - contrast)
    out = torch.einsum("bij,bjhw->bihw", matrix * gain[:, None, None], x)
    out = (out + offset[:, None, None, None]).clamp(0, 1)
    solar = _some(x, 0.03 * strength)[:, None, None, None]
    return torch.where(solar & (out > 0.6), 1 - out, out)


def _sharpness(x: Tensor, strength: float) -> Tensor:
    """Blur or sharpen two thirds of the photos, so that the way of resizing matters little."""
    line = _constant((0.25, 0.5, 0.25), x.device)
    kernel = (line[:, None] * line[None, :]).expand(3, 1, 3, 3)
    soft = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    amount = _uniform(x, -0.7, 1.0) * _some(x, 0.66) * strength
    return x + amount[:, None, None, None] * (soft - x)


def _erase(x: Tensor, probability: float) -> Tensor:
    """Random erasing (Zhong et al., AAAI 2020): noise over 2 to 25 % of the area."""
    _, _, h, w = x.shape
    side = _uniform(x, 0.02, 0.25).sqrt()
    ratio = _uniform(x, -0.7, 0.7).exp()
    high, wide = side * ratio * h, side / ratio * w
    top, left = _uniform(x, 0, 1) * (h - high), _uniform(x, 0, 1) * (w - wide)
    rows = torch.arange(h, device=x.device)
    columns = torch.arange(w, device=x.device)
    down = (rows >= top[:, None]) & (rows < (top + high)[:, None])
    across = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    inside = down[:, :, None] & across[:, None, :] & _some(x, probability)[:, None, None]
    return torch.where(inside[:, None], torch.randn_like(x), x)


def _normalise(x: Tensor) -> Tensor:
    mean = _constant(MEAN, x.device).view(1, 3, 1, 1)
    std = _constant(STD, x.device).view(1, 3, 1, 1)
    return (x - mean) / std
