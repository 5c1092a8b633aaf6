# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call,untyped-decorator"
"""How far ours and XTuner's stock are from exact gradients, at the true shape.

    python -m benchmarks.gpu.check_train WORK      (a folder that bench_train has prepared)

The reference is the stock in float32. In bfloat16 both round: ours must not be farther from the
reference than the stock is. Prints one JSON object a line.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import peft
import torch
from mmengine.config import ConfigDict
from xtuner.dataset import InternVL_V1_5_Dataset
from xtuner.dataset.collate_fns import default_collate_fn
from xtuner.model import InternVL_V1_5

import training.xtuner  # noqa: F401 - settles the process before anything imports XTuner
from training.xtuner import base
from training.xtuner.config import TEMPLATE
from training.xtuner.data import DialogueDataset, collate
from training.xtuner.model import Critic

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
#: Records in the batch.
ROWS = (0, 1)


def main() -> None:
    work = Path(sys.argv[1])
    store = torch.distributed.HashStore()  # XTuner's forward asks for the rank
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    where = (str(work / "train.json"), str(work / "images"))
    view = str(base.view(work / "model", work / "view"))
    theirs = default_collate_fn(
        [InternVL_V1_5_Dataset(str(work / "hub"), ConfigDict(TEMPLATE), *where)[i] for i in ROWS]
    )
    source = DialogueDataset(view, TEMPLATE, *where, 8192)
    ours = collate([source[i] for i in ROWS])
    hub, low = str(work / "hub"), torch.bfloat16
    exact = gradients(InternVL_V1_5, theirs, torch.float32, model_path=hub)
    tell("stock bf16", exact, gradients(InternVL_V1_5, theirs, low, model_path=hub))
    tell("ours bf16", exact, gradients(Critic, ours, low, model_path=view))
    fused = {"model_path": view, "compile": True}
    tell("compiled bf16", exact, gradients(Critic, ours, low, **fused))
    # What is dropped in the forward pass must be dropped when it is recomputed.
    once, again = (
        gradients(Critic, ours, low, dropout=0.05, **fused, checkpoint_activations=recomputed)
        for recomputed in (False, True)
    )
    tell("compiled with dropout, recomputed or not", once, again)
    tell("ours fp32", exact, gradients(Critic, ours, torch.float32, model_path=view))


def tell(name: str, exact: dict[str, Any], other: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({name: apart(exact, other)}) + "\n")
    sys.stdout.flush()


def gradients(
    kind: Any, batch: Any, dtype: torch.dtype, dropout: float = 0.0, **settings: Any
) -> dict[str, Any]:
    """Loss and gradients of one batch, on the CPU in float32."""
    torch.manual_seed(0)
    lora = peft.LoraConfig(r=128, lora_alpha=256, lora_dropout=dropout, task_type="CAUSAL_LM")
    model = kind(freeze_llm=True, freeze_visual_encoder=True, llm_lora=lora, **settings)
    numbers = torch.Generator().manual_seed(1)
    for name, parameter in sorted(model.named_parameters()):
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=numbers) * 0.01
    model = model.to(DEVICE, dtype).train()
    torch.manual_seed(2)
    loss = model(**move(batch))["loss"]
    loss.backward()
    found = {
        name: parameter.grad.float().cpu()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    value = float(loss)
    del model, loss
    gc.collect()
    torch.cuda.empty_cache()
    return {"loss": value, "gradients": found}


def move(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {key: move(value) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return [move(value) for value in batch]
    return batch.to(DEVICE) if isinstance(batch, torch.Tensor) else batch


def apart(exact: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """Relative distances of the loss, and of all gradients as one vector."""
    theirs, mine = exact["gradients"], other["gradients"]
    if theirs.keys() != mine.keys():
        raise SystemExit(f"other parameters have gradients: {theirs.keys() ^ mine.keys()}")
    square = sum(float((mine[n] - theirs[n]).square().sum()) for n in theirs)
    whole = sum(float(g.square().sum()) for g in theirs.values())
    return {
        "loss": round(abs(other["loss"] / exact["loss"] - 1), 7),
        "gradients": round((square / whole) ** 0.5, 7),
    }


if __name__ == "__main__":
    main()
