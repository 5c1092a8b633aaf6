# mypy: disable-error-code="import-not-found,misc"
"""DeepSpeed without a GPU (``--deepspeed-on-cpu``), to rehearse what a GPU will do."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch


def prepare(stage: str, folder: Path) -> Path:
    """Fit DeepSpeed 0.16.2 to torch's gloo; the path of `stage`'s configuration, in `folder`.

    Call it in every process, before DeepSpeed starts its communication.
    """
    from xtuner.configs import cfgs_name_path

    collectives: Any = importlib.import_module("deepspeed.comm.torch")
    # Torch's own collectives do: DeepSpeed's would be compiled first, which takes a minute.
    collectives.build_shm_op = lambda: None
    collectives.TorchBackend.get_all_gather_function = staticmethod(lambda: _gather)
    # Without a GPU XTuner would choose float16, which DeepSpeed refuses there.
    values = json.loads(Path(cfgs_name_path[f"deepspeed_{stage}"]).read_text(encoding="utf-8"))
    values = {**values, "fp16": {"enabled": False}, "bf16": {"enabled": True}}
    path = folder / "deepspeed.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def _gather(output_tensor: torch.Tensor, *args: Any, async_op: bool = False, **kwargs: Any) -> Any:
    """`all_gather_into_tensor`, over when it returns.

    ZeRO-3 waits for the last of several gathers alone: NCCL ends them in their order, gloo in any,
    and one that ends late writes over the weights that were loaded since.
    """
    gather = torch.distributed.all_gather_into_tensor
    work = gather(output_tensor, *args, async_op=True, **kwargs)
    work.wait()
    return work if async_op else None
