# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""XTuner's own configuration for InternVL2-2B LoRA with the tutorial's figures, run as it is.

python -m benchmarks.gpu.stock_train WORK FOLDER ITERATIONS
"""

from __future__ import annotations

import sys
from pathlib import Path

import training.xtuner  # noqa: F401 - settles the process before anything imports XTuner


def config(work: Path, folder: Path, iterations: int) -> str:
    """XTuner's internvl_v2_internlm2_2b_lora_finetune.py, with the tutorial's batch and rate."""
    return f'''
from mmengine.config import read_base
with read_base():
    from xtuner.configs.internvl.v2.internvl_v2_internlm2_2b_lora_finetune import *
from mmengine.hooks import CheckpointHook
model.update(dict(model_path="{work}/hub"))
llava_dataset.update(dict(model_path="{work}/hub", data_paths="{work}/train.json",
                          image_folders="{work}/images"))
train_dataloader.update(dict(batch_size=4, dataset=llava_dataset))
train_dataloader["sampler"].update(dict(per_device_batch_size=8))
optim_wrapper["optimizer"].update(dict(lr=3e-5))
train_cfg = dict(type=TrainLoop, max_iters={iterations})
param_scheduler = [dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=0,
                        end={iterations})]
custom_hooks = []
default_hooks["checkpoint"].update(dict(interval=100000, save_last=False))
work_dir = "{folder}/xtuner"
'''


def main() -> None:
    work, folder = (Path(text).resolve() for text in sys.argv[1:3])
    path = folder / "stock_config.py"
    import torch

    text = config(work, folder, int(sys.argv[3]))
    if not torch.cuda.is_available():  # to see that it runs at all
        text += "from mmengine.optim import OptimWrapper\n"
        text += "optim_wrapper = dict(type=OptimWrapper, optimizer=optim_wrapper['optimizer'])\n"
        text += "env_cfg['dist_cfg'].update(dict(backend='gloo'))\n"
    path.write_text(text, encoding="utf-8")
    if not torch.cuda.is_available():
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    from xtuner.tools.train import main as train

    sys.argv = ["train", str(path)]
    if torch.cuda.is_available():
        sys.argv += ["--deepspeed", "deepspeed_zero2"]
    train()


if __name__ == "__main__":
    main()
