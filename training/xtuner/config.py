"""Renders a recipe and a job into the Python file that XTuner reads as its configuration.

    Recipe + Job -> config/xtuner.py in the work folder -> mmengine Config -> xtuner.tools.train

Only values are rendered, no code: mmengine resolves each ``type`` by its dotted name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pprint
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .recipe import Recipe

#: XTuner's internlm2_chat, as its InternVL dataset rewrites it to be InternVL2's own template.
TEMPLATE: dict[str, Any] = {
    "SYSTEM": "<|im_start|>system\n{system}<|im_end|>",
    "INSTRUCTION": "<|im_start|>user\n{input}<|im_end|><|im_start|>assistant\n",
    "SUFFIX": "<|im_end|>",
    "SUFFIX_AS_EOS": True,
    "SEP": "\n",
    "STOP_WORDS": ["<|im_end|>"],
}


#: The same of XTuner's phi3_chat.
PHI3: dict[str, Any] = {
    "SYSTEM": "<|system|>\n{system}<|end|>\n",
    "INSTRUCTION": "<|user|>\n{input}<|end|><|assistant|>\n",
    "SUFFIX": "<|end|>",
    "SUFFIX_AS_EOS": True,
    "SEP": "\n",
    "STOP_WORDS": ["<|end|>"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a recipe does not say: this run's files and machine."""

    #: Checkpoint folder that is trained from.
    base: Path
    #: The same as `base.view` makes it.
    model: Path
    #: LLaVA JSON.
    data: Path
    #: Folder that the records' image paths are relative to.
    images: Path
    #: Config, checkpoints, logs.
    work: Path
    #: Number of records in ``data``.
    records: int
    cuda: bool
    cores: int
    processes: int = 1
    #: A batch goes through the model in so many parts, after it ran out of memory.
    split: int = 1
    #: Folder of the frozen vision encoder's features, and bytes that all such folders may take.
    features: Path | None = None
    features_limit: int = 0
    #: Run DeepSpeed without a GPU, too.
    deepspeed_on_cpu: bool = False
    phi3: bool = False


def render(recipe: Recipe, job: Job) -> str:
    """The configuration file's text."""
    header = f"# Rendered from the recipe {recipe.name}: {recipe.description}\n"
    parts = (
        f"{key} = {pprint.pformat(value, width=100, sort_dicts=False)}\n"
        for key, value in settings(recipe, job).items()
    )
    return header + "".join(parts)


def fingerprint(recipe: Recipe, job: Job) -> str:
    """What a work folder belongs to: the recipe and the data, not the split or the machine."""
    held = hashlib.sha256(job.data.read_bytes())
    held.update(repr((dataclasses.astuple(recipe), job.processes)).encode())
    return held.hexdigest()


def settings(recipe: Recipe, job: Job) -> dict[str, Any]:
    """The configuration as plain values."""
    return {
        "model": _model(recipe, job),
        "train_dataloader": _loader(recipe, job),
        "optim_wrapper": _optimizer(recipe, job),
        "param_scheduler": _schedule(recipe, iterations(recipe, job)),
        "train_cfg": {
            "type": "training.xtuner.loop.ResumingLoop",
            "max_iters": iterations(recipe, job),
            "split": job.split,
            "features_limit": job.features_limit,
        },
        "custom_hooks": [
            {
                "type": "training.xtuner.loop.ProgressHook",
                "folder": str(job.work),
                "samples": recipe.data.batch_size // job.split,
                "every": 10 * job.split,
            }
        ],
        "default_hooks": {
            "timer": {"type": "IterTimerHook"},
            "logger": {"type": "LoggerHook", "log_metric_by_epoch": False, "interval": 50},
            "param_scheduler": {"type": "ParamSchedulerHook"},
            "checkpoint": {
                "type": "training.xtuner.checkpoints.WholeCheckpoints",
                "by_epoch": False,
                "interval": recipe.save.every * job.split,
                "max_keep_ckpts": recipe.save.keep,
            },
            "sampler_seed": None,
        },
        "env_cfg": {
            "cudnn_benchmark": False,  # the number of photos changes from batch to batch
            "mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0},
            "dist_cfg": {"backend": "nccl" if job.cuda else "gloo"},
        },
        "visualizer": {
            "type": "Visualizer",
            "vis_backends": [{"type": "TensorboardVisBackend"}],
        },
        "log_level": "INFO",
        "log_processor": {"by_epoch": False},
        "load_from": None,
        "resume": False,
        "randomness": {"seed": recipe.seed, "deterministic": False},
        "work_dir": str(job.work),
    }


def iterations(recipe: Recipe, job: Job) -> int:
    """Forward passes of the whole run; an epoch drops the records that fill no batch.

    Rounded up to whole optimizer steps: what does not fill one would be computed for nothing.
    """
    data = recipe.data
    per_epoch = max(1, job.records // (data.batch_size * job.processes))
    wanted = data.iterations or max(1, round(per_epoch * data.epochs))
    return -(-wanted // data.accumulate) * data.accumulate * job.split


def _model(recipe: Recipe, job: Job) -> dict[str, Any]:
    model = recipe.model
    long = iterations(recipe, job) // job.split >= model.compile_from
    values: dict[str, Any] = {
        "type": "training.xtuner.model.Critic",
        "model_path": str(job.model),
        "freeze_llm": model.freeze_llm,
        "freeze_visual_encoder": model.freeze_vision,
        "quantization_llm": model.quantize_llm,
        "weights": model.weights,
        "checkpoint_activations": model.checkpoint_activations,
        "head_on_labels": model.head_on_labels,
        "augment": recipe.data.augment,
        "compile": model.compile and job.cuda and long,
        "reentrant": recipe.optimizer.deepspeed == "zero3",
    }
    if model.lora:
        values["llm_lora"] = {
            "type": "peft.LoraConfig",
            "r": model.lora.r,
            "lora_alpha": model.lora.alpha,
            "lora_dropout": model.lora.dropout,
            "target_modules": None,
            "task_type": "CAUSAL_LM",
        }
    return values


def _loader(recipe: Recipe, job: Job) -> dict[str, Any]:
    data = recipe.data
    workers = min(data.workers, job.cores)
    return {
        "batch_size": data.batch_size // job.split,
        "num_workers": workers,
        "pin_memory": job.cuda,
        **({"prefetch_factor": 4} if workers else {}),
        "dataset": {
            "type": "training.xtuner.data.DialogueDataset",
            "model_path": str(job.model),
            "template": PHI3 if job.phi3 else TEMPLATE,
            "data_path": str(job.data),
            "image_folder": str(job.images),
            "max_length": data.max_length,
            "device_resize": data.device_resize,
            "features": str(job.features) if job.features else None,
        },
        "sampler": {
            "type": "training.xtuner.data.LengthBatches",
            "batch_size": data.batch_size,
            "iterations": iterations(recipe, job) // job.split,
            "split": job.split,
        },
        "collate_fn": {"type": "training.xtuner.data.collate"},
    }


def _optimizer(recipe: Recipe, job: Job) -> dict[str, Any]:
    optimizer = recipe.optimizer
    values: dict[str, Any] = {
        "type": "OptimWrapper",
        "optimizer": {
            "type": "AdamW",
            "lr": optimizer.lr,
            "betas": optimizer.betas,
            "weight_decay": optimizer.weight_decay,
            **({"fused": True} if job.cuda and not optimizer.deepspeed else {}),
        },
        "clip_grad": {"max_norm": optimizer.max_norm, "error_if_nonfinite": False},
        "accumulative_counts": recipe.data.accumulate * job.split,
    }
    if optimizer.vision_lr != 1.0:
        values["paramwise_cfg"] = {
            "custom_keys": {"model.vision_model": {"lr_mult": optimizer.vision_lr}}
        }
    if job.cuda and optimizer.precision == "bf16":
        values |= {"type": "AmpOptimWrapper", "dtype": "bfloat16"}
        values["loss_scale"] = 1.0
    elif job.cuda and optimizer.precision == "fp16":
        values |= {"type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": "dynamic"}
    return values


def _schedule(recipe: Recipe, total: int) -> list[dict[str, Any]]:
    warmup = round(recipe.optimizer.warmup_ratio * total)
    warmup = warmup if warmup > 1 else 0  # mmengine's ramp needs two steps
    common = {"by_epoch": False}
    cosine = {"type": "CosineAnnealingLR", "eta_min": 0.0, "begin": warmup, "end": total}
    ramp = {"type": "LinearLR", "start_factor": 1e-5, "begin": 0, "end": warmup}
    return [ramp | common, cosine | common] if warmup else [cosine | common]
