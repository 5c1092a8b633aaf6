# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call,untyped-decorator"
"""XTuner's InternVL model, with the same loss and gradients for less time and memory.

    photos (bytes) -> augment, enlarge, normalise on the device -> look -> features -> mlp1
    tokens -> embeddings, image positions filled -> decoder -> head where labels are -> loss

- The head is computed only where there is a label: on InternVL2 97 % of the positions are picture
  or prompt, and their float32 logits are what runs a 24 GB card out of memory.
- Rows are padded on the right and the decoder is causal, so no real position sees a padded one: no
  mask is needed, and attention takes its fast path.
- XTuner asks the modeling code for ``flash_attention_2``; ours (see `base`) answers with SDPA,
  which picks a flash kernel by itself.
- A frozen vision encoder sees a photo once (see `cache`), and never drops a path at random.
- With ``compile`` the decoder's layers are fused by torch: between the matrix products a LoRA layer
  reads and writes its activations twenty times. Activation checkpoints are not reentrant, so that
  what is recomputed is the same graph, and drops the same.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig
from xtuner.model import InternVL_V1_5
from xtuner.utils import IGNORE_INDEX

#: ImageNet's mean and deviation, which InternVL normalises with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Critic(InternVL_V1_5):
    """InternVL for training; arguments beyond XTuner's are explained in ``recipe.Model``."""

    def __init__(
        self,
        *,
        weights: str = "bf16",
        checkpoint_activations: bool = True,
        head_on_labels: bool = True,
        augment: bool = False,
        compile: bool = False,
        reentrant: bool = False,
        **kwargs: Any,
    ) -> None:
        self.reentrant = reentrant
        super().__init__(**kwargs)
        self.model.language_model.config.use_cache = False
        self.head_on_labels = head_on_labels
        self.augment = augment
        #: Whether photos come as features; told by the loop.
        self.sees_features = False
        config = AutoConfig.from_pretrained(kwargs["model_path"], trust_remote_code=True)
        self.image_size: int = config.force_image_size
        if weights == "fp32":
            # XTuner has rounded the weights to bfloat16: read them again.
            self.model.float()
            exact = read_weights(Path(kwargs["model_path"]))
            held = {name: plain(name) for name in self.model.state_dict() if ".lora_" not in name}
            found = {name: exact[plain] for name, plain in held.items()}
            self.model.load_state_dict(found, strict=False)
        if not checkpoint_activations:
            self.gradient_checkpointing_disable()
        elif self.use_llm_lora:  # PEFT has switched XTuner's own kind on again
            self.activation_checkpointing_enable()
        if compile:
            fuse(self.decoder.model.layers)

    def activation_checkpointing_enable(self) -> None:
        """Recompute each layer in the backward pass; `reentrant` is for ZeRO-3 alone."""
        how = {"use_reentrant": self.reentrant}
        self.model.language_model.gradient_checkpointing_enable(how)

    @property
    def decoder(self) -> Any:
        """The language model with its head, adapters inside."""
        llm = self.model.language_model
        return llm.get_base_model() if hasattr(llm, "get_base_model") else llm

    @torch.no_grad()
    def look(self, tiles: Tensor) -> Tensor:
        """What enters mlp1, (tiles, tokens, width), of tiles (tiles, 3, image, image) in bytes."""
        vision = self.model.vision_model
        training, seen = vision.training, []
        hook = self.model.mlp1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            vision.eval()
            pixels = self._normal(tiles.to(next(vision.parameters()).device))
            self.model.extract_feature(pixels.to(vision.dtype))
        finally:
            hook.remove()
            vision.train(training)
        return seen[0]

    def forward(self, data: dict[str, Any], data_samples: Any = None, mode: str = "loss") -> Any:
        """The batch's loss, as ``{"loss": scalar}``."""
        if "shapes" not in data:
            return super().forward(data, data_samples, mode)
        shapes = data["shapes"]
        pixels = None
        if shapes:
            parts = data["pixels"].split([math.prod(shape) for shape in shapes])
            groups = [part.view(*shape) for part, shape in zip(parts, shapes, strict=True)]
            pixels = torch.cat([self._pixels(images) for images in groups])
        return {"loss": self._loss(pixels, data)}

    def _pixels(self, images: Tensor) -> Tensor:
        if images.ndim == 5:  # tiles: (photos, tiles, 3, image, image)
            return self._normal(images.flatten(0, 1))
        size = self.image_size
        if self.augment and self.training:
            images = crop(images.float())
        # Antialiased bicubic is Pillow's kernel (a = -0.5); Pillow also rounds to whole bytes.
        pixels = F.interpolate(images.float(), (size, size), mode="bicubic", antialias=True)
        return self._normal(pixels.round().clamp(0, 255))

    @staticmethod
    def _normal(pixels: Tensor) -> Tensor:
        pixels = pixels.float() / 255
        mean, std = (pixels.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
        return (pixels - mean) / std

    def _loss(self, pixels: Tensor | None, data: dict[str, Any]) -> Tensor:
        ids, labels, mask = data["input_ids"], data["labels"], data["attention_mask"]
        core = self.decoder
        embeds = core.get_input_embeddings()(ids)
        features = self._features(pixels, data["features"])
        if features is not None:
            selected = (ids == self.model.img_context_token_id).unsqueeze(-1)
            places, tokens = int(selected.sum()), features.numel() // features.shape[-1]
            if places != tokens:
                raise ValueError(
                    f"{places} image tokens for {tokens} image features: a record was cut inside "
                    "its picture; raise data.max_length"
                )
            embeds = embeds.masked_scatter(selected, features.to(embeds.dtype))
        elif self.training and get_world_size() > 1:
            embeds = embeds + 0 * self._nothing().to(embeds.dtype)
        labelled = labels[:, 1:] != IGNORE_INDEX
        if self.head_on_labels:
            hidden = core.model(inputs_embeds=embeds, attention_mask=None)
            hidden = hidden if isinstance(hidden, Tensor) else hidden[0]
            logits = core.get_output_embeddings()(hidden[:, :-1][labelled])
        else:
            logits = core(inputs_embeds=embeds, attention_mask=mask).logits[:, :-1][labelled]
        losses = F.cross_entropy(logits.float(), labels[:, 1:][labelled], reduction="none")
        if data["soft_ids"].shape[1]:
            losses = soften(losses, logits, labelled, data["soft_ids"], data["soft_targets"])
        return losses.mean()

    def _features(self, pixels: Tensor | None, kept: Tensor | None) -> Tensor | None:
        """Picture tokens, (all tokens, width): of photos just seen, then of those seen before."""
        model, found = self.model, []
        if pixels is not None:
            pixels = pixels.to(model.vision_model.dtype)
            context = frozen_features if self._vision_is_frozen() else extract_features
            found.append(context(model, pixels).flatten(0, 1))
        if kept is not None:
            found.append(model.mlp1(kept.to(model.mlp1[-1].weight.dtype)).flatten(0, 1))
        return torch.cat(found) if found else None

    def _nothing(self) -> Tensor:
        """A number that took the way of a photo.

        Several processes exchange weights and gradients layer by layer: one whose batch has no
        photo has to come to all of them, too.
        """
        projector, size = self.model.mlp1, self.image_size
        device = self.decoder.get_input_embeddings().weight.device
        if self.sees_features:
            width = projector[0].normalized_shape[0]
            features = self._features(None, torch.zeros(1, 1, width, device=device))
        else:
            features = self._features(torch.zeros(1, 3, size, size, device=device), None)
        assert features is not None
        return features.sum()

    def _vision_is_frozen(self) -> bool:
        return self.freeze_visual_encoder and not self.use_visual_encoder_lora


def plain(name: str) -> str:
    """The base's name of a weight, whether PEFT has wrapped its layer or not."""
    return name.replace("base_model.model.", "").replace(".base_layer.", ".")


def fuse(layers: nn.ModuleList) -> None:
    """Compile each layer, one graph for all of them and for every length and batch."""
    # A layer that torch cannot compile runs as it is: slower, and as right.
    torch._dynamo.config.suppress_errors = True
    for layer in layers:
        layer.compile(dynamic=True)


def extract_features(model: nn.Module, pixels: Tensor) -> Tensor:
    """Image tokens of every tile, as the checkpoint's own code makes them."""
    features: Tensor = model.extract_feature(pixels)
    return features


def frozen_features(model: nn.Module, pixels: Tensor) -> Tensor:
    """The same, where no gradient is asked of the vision encoder."""
    model.vision_model.eval()
    return extract_features(model, pixels)


def soften(
    losses: Tensor, logits: Tensor, labelled: Tensor, ids: Tensor, targets: Tensor
) -> Tensor:
    """Replace the loss of the first labelled token of rows that have soft targets.

    ``losses`` and ``logits`` are those of the True places of ``labelled`` (rows, length), in order.
    """
    rows = labelled.nonzero()[:, 0]
    first = torch.ones_like(rows, dtype=torch.bool)
    first[1:] = rows[1:] != rows[:-1]
    total = targets.sum(1)
    chosen = first & (total[rows] > 0)
    spread = logits[chosen].float().log_softmax(-1)
    wanted = targets[rows[chosen]] / total[rows[chosen], None]
    return losses.masked_scatter(chosen, -(spread.gather(1, ids[rows[chosen]]) * wanted).sum(1))


def crop(images: Tensor) -> Tensor:
    """A random part of each photo, 50-100 % of its area, at the same size; half are mirrored."""
    count, device = images.shape[0], images.device
    area = torch.empty(count, device=device).uniform_(0.5, 1.0).sqrt()
    ratio = torch.empty(count, device=device).uniform_(-0.25, 0.25).exp()
    width, height = (area * ratio).clamp(max=1), (area / ratio).clamp(max=1)
    theta = torch.zeros(count, 2, 3, device=device)
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    theta[:, 0, 0], theta[:, 1, 1] = width * mirror, height
    theta[:, 0, 2] = (torch.rand(count, device=device) * 2 - 1) * (1 - width)
    theta[:, 1, 2] = (torch.rand(count, device=device) * 2 - 1) * (1 - height)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint folder's safetensors files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no *.safetensors")
    return {name: tensor for file in files for name, tensor in load_file(file).items()}
