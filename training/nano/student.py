# mypy: disable-error-code="import-not-found,misc,no-any-return"
"""The vision half of nano as it is pre-trained: InternViT at 64 pixels, mlp1, and a classifier.

```
 (b, 3, 64, 64) ─▶ InternViT, patch 4 ─▶ 2x2 pixel shuffle ─▶ mlp1 ─▶ mean ─▶ head ─▶ (b, dishes)
                   16x16 grid, as 448/28      64 x 1024       64 x 256        thrown away later
```

Training at 64 pixels loses nothing on 64-pixel photos and gives the same grid as the product's 448
pixels with patch 28; `inflate` turns the patch kernel into the large one. The projector `mlp1` is
trained along, in the layout InternVL2 gives it, so that the language model starts from tokens whose
mean already tells the dishes apart.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.nano.configuration_internvl_chat import InternVisionConfig
from engine.nano.modeling_internvl_chat import InternVisionModel

#: Pixels on a side, in pre-training and in the product, and of a patch in each.
SMALL, SMALL_PATCH = 64, 4
LARGE, LARGE_PATCH = 448, 28


class Student(nn.Module):
    """InternViT with the projector and a classifier; `names` of its weights are InternVL2's."""

    def __init__(
        self, dishes: int, *, width: int = 256, depth: int = 9, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        config = InternVisionConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_attention_heads=max(1, width // 64),
            num_hidden_layers=depth,
            image_size=SMALL,
            patch_size=SMALL_PATCH,
            drop_path_rate=drop_path,
        )
        self.vision_model = InternVisionModel(config)
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(4 * width), nn.Linear(4 * width, width), nn.GELU(), nn.Linear(width, width)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, dishes)
        nn.init.normal_(self.head.weight, std=0.02)

    def tokens(self, pixels: Tensor) -> Tensor:
        """The picture tokens the language model will read: (b, 64, width)."""
        vision = self.vision_model
        patches = vision.encoder(vision.embeddings(pixels))[-1][:, 1:]
        return self.mlp1(shuffle(patches))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (b, dishes) of normalised photos (b, 3, h, w)."""
        return self.head(self.norm(self.tokens(pixels).mean(1)))


def shuffle(patches: Tensor) -> Tensor:
    """InternVL2's pixel shuffle (ratio 0.5, v2): (b, n*n, c) to (b, n*n/4, 4c), row by row."""
    b, count, c = patches.shape
    n = round(count**0.5)
    grid = patches.view(b, n // 2, 2, n // 2, 2, c)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(b, count // 4, 4 * c)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Optimiser groups: no decay for biases, norms, layer scales and embeddings."""
    plain: list[Tensor] = []
    decayed: list[Tensor] = []
    for name, weight in model.named_parameters():
        few = weight.ndim < 2 or name.endswith(("_embedding", "ls1", "ls2"))
        (plain if few else decayed).append(weight)
    return [
        {"params": plain, "weight_decay": 0.0},
        {"params": decayed, "weight_decay": weight_decay},
    ]


def inflate(weights: dict[str, Tensor], *, patch: int = LARGE_PATCH) -> dict[str, Tensor]:
    """Weights for `patch`-pixel patches, from weights for SMALL_PATCH-pixel ones.

    Each small kernel weight is spread evenly over the square of large pixels that its small pixel
    covers, so the large convolution equals area averaging followed by the small one: exact for
    photos enlarged by repetition, and a low-pass filter for sharp ones.
    """
    key = "vision_model.embeddings.patch_embedding.weight"
    factor = patch // SMALL_PATCH
    if factor * SMALL_PATCH != patch:
        raise ValueError(f"patch {patch} is no multiple of {SMALL_PATCH}")
    spread = torch.ones(factor, factor, dtype=weights[key].dtype) / factor**2
    return {**weights, key: torch.kron(weights[key].cpu(), spread)}
