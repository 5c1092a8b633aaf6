"""TurboMind whose vision encoder hands on what `engine.vision` saw.

TurboMind 0.18 takes pictures through its encoder alone: what is given as finished embeddings has
no part in its prefix cache, and every follow-up would read the photo again. So it is given an
encoder of one layer that adds nothing to its input, the hidden states that ours made; pixel shuffle
and projector, which it goes on to, are the checkpoint's. The patch embedding multiplies by one.
"""

import threading
from pathlib import Path
from typing import Any, Final

#: The layer that adds nothing: one head, as small as TurboMind's kernels take it.
HEAD: Final = 64
#: What 8-bit weights are multiplied with.
GEMM: Final = "float8_e4m3"
_TURN: Final = threading.Lock()


def load(folder: Path, config: Any, *, trusted: bool) -> Any:
    """TurboMind for a checkpoint; its pictures are (tiles, 1, patches, width) from now on.

    Raises:
        Exception: anything that LMDeploy raises.
    """
    from lmdeploy.turbomind import TurboMind
    from lmdeploy.turbomind.models import internvl

    # No setting names another encoder: its class is looked up while a model is loaded. Of two that
    # are loaded at once, the memes' too, one would find what the other one puts back.
    with _TURN:
        usual = internvl.LegacyInternVitVisionModel
        internvl.LegacyInternVitVisionModel = _passing(internvl)
        try:
            return TurboMind.from_pretrained(
                str(folder), engine_config=config, trust_remote_code=trusted
            )
        finally:
            internvl.LegacyInternVitVisionModel = usual


def multiply(dtype: str) -> None:
    """Have every engine of this process multiply in `dtype`, where the weights allow it.

    For LMDeploy's api_server, which has no flag for it.
    """
    from lmdeploy.messages import TurbomindEngineConfig

    usual = TurbomindEngineConfig.__init__

    def init(self: Any, *args: Any, **given: Any) -> None:
        usual(self, *args, **({"gemm_input_dtype": dtype} | given))

    TurbomindEngineConfig.__init__ = init


def _passing(internvl: Any) -> Any:
    import torch
    from lmdeploy.turbomind.builders import (
        AttentionBuilder,
        Builder,
        LayerNormBuilder,
        ModuleListBuilder,
        ModuleListConfig,
        VisionModelBuilder,
        make_layer_norm_config,
    )
    from lmdeploy.turbomind.builders._base import ParallelGroup, SplitSide
    from lmdeploy.turbomind.builders.linear import Linear
    from lmdeploy.turbomind.weight_format import TrivialFormat

    class Passing(internvl.LegacyInternVitVisionModel):  # type: ignore[misc]
        """An InternViT without layers, but for one that adds nothing."""

        def __init__(self, cfg: Any, *, resolver: Any, parent_cfg: Any) -> None:
            super().__init__(cfg, resolver=resolver, parent_cfg=parent_cfg)
            self._depth, self._heads, self._head_dim, self._inter = 1, 1, HEAD, HEAD
            self._norm_type, self._use_qk_norm = internvl.to_tm_norm_type("layer_norm"), False
            # A picture has one channel, a row for each patch, and in it the patch's values.
            self._channels, self._image_h, self._image_w = 1, self._num_patches, self._hidden
            self._patch_h, self._patch_w, self._patch_in_dim = 1, self._hidden, self._hidden

        def model(self, pfx: Any) -> None:
            wide, projector = self._hidden, pfx + "model.multi_modal_projector"
            root = VisionModelBuilder(
                self._make_root_cfg(), self._ctx, root_handles=self._root_handles, tp=self._model_tp
            )
            root._add_tensor("cls_token", self._zeros(1, 1, wide))
            root._add_tensor("position_embeddings", self._zeros(1, self._num_patches + 1, wide))
            root._add_linear("patch_embed", self._matrix(torch.eye(wide)))
            root.blocks = self._layer()
            root.projector_norm = self._layer_norm(
                projector + "layer_norm", dim=self._projector_in_dim, norm_eps=1e-5
            )
            first, last = (self._linear(projector + f"linear_{i}") for i in (1, 2))
            root._add_linear("projector_fc1", first, SplitSide.OUTPUT)
            root._add_linear("projector_fc2", last, SplitSide.INPUT)
            root.build()

        def _layer(self) -> Any:
            wide, alone = self._hidden, ParallelGroup(1, None)
            layer = Builder(self._make_block_cfg(), self._ctx)
            layer.norm1, layer.norm2 = self._flat(), self._flat()
            attention = AttentionBuilder(self._make_attn_cfg(), self._ctx, tp=alone)
            attention.add_qkv_proj(*(self._matrix(torch.zeros(wide, HEAD)) for _ in range(3)))
            attention.add_o_proj(self._matrix(torch.zeros(HEAD, wide)))
            layer.attention = attention.build()
            layer._add_linear("mlp_fc1", self._matrix(torch.zeros(wide, HEAD)))
            layer._add_linear("mlp_fc2", self._matrix(torch.zeros(HEAD, wide)))
            layer._add_tensor("lambda_1", self._zeros(wide))
            layer._add_tensor("lambda_2", self._zeros(wide))
            blocks = ModuleListBuilder(ModuleListConfig(), self._ctx)
            blocks[0] = layer.build()
            return blocks.build()

        def _flat(self) -> Any:
            config = make_layer_norm_config(
                dim=self._hidden, data_type=self._ctx.data_type, norm_eps=self._norm_eps
            )
            norm = LayerNormBuilder(config, self._ctx)
            norm.set_weight(self._zeros(self._hidden), bias=self._zeros(self._hidden))
            return norm.build()

        def _zeros(self, *shape: int) -> Any:
            return torch.zeros(shape, dtype=self._ctx.dtype)

        def _matrix(self, weight: Any) -> Any:
            """(in, out), with a bias of zeros."""
            tensors = {"weight": weight.to(self._ctx.dtype), "bias": self._zeros(weight.shape[1])}
            form = TrivialFormat(weight_dtype=self._ctx.data_type)
            return Linear(tensors=tensors, weight_format=form)

    return Passing
