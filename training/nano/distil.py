# mypy: disable-error-code="import-not-found,misc,no-any-return,untyped-decorator"
"""Distillation: the student learns, on every GPU, what the teachers say of the same views.

```
 photos ─views, Mixup, CutMix─▶ fresh views ─teachers─▶ probabilities
                                     │                      │
                                     └────────▶ ring ◀──────┘      each view is drawn REUSE times
                                                 │
                                     student ◀─ batch, flipped at random: cross-entropy
```

A consistent teacher sees exactly the student's view, and training is long ("Knowledge distillation:
A good teacher is patient and consistent", Beyer et al., CVPR 2022). The ring keeps the teachers
from costing more than the student. The schedule follows rank 0's clock; a run that is stopped goes
on from `WORK/student.pt`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.data.mixup import Mixup
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.nano import augment, packs, soft, teachers
from training.nano.ring import Ring
from training.nano.student import Student, decay_groups

log = logging.getLogger(__name__)

#: Steps between two looks at the clock, and between two fillings of the ring.
ROUND = 16
#: How often a view is used on average.
REUSE = 4
#: Views that share one Mixup coefficient.
MIX = 128
#: Share of the true label in the target; the rest is what the teachers say.
TRUTH = 0.3
#: Teachers this much (top-1) worse than the best do not teach.
TEACHER_GAP = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run of the student."""

    #: Decoded photos (`packs.save`), teachers and state, and where results go.
    data: Path
    work: Path
    out: Path
    #: Length of the whole training, over all runs; None: what is left until `until`.
    total_seconds: float | None
    #: Time of day (`time.time()`) at which this run stops, to be resumed.
    until: float
    #: Results of an earlier run, to start from and to learn from as one more teacher.
    start: Path | None = None
    #: Steps that the averaged weights look back, as a decay a step.
    average_decay: float = 0.9995
    #: Photos a step and GPU.
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    drop_path: float = 0.05
    depth: int = 9
    ring: int = 32768
    compiled: bool = True


def faculty(plan: Plan, data: teachers.Data) -> tuple[list[nn.Module], dict[str, float]]:
    """The teachers worth listening to, and the val top-1 of each and of all together."""
    found: dict[str, nn.Module] = {
        path.stem: teachers.load(path, len(data.names), data.device)
        for path in sorted(plan.work.glob("teacher-*.pt"))
    }
    if plan.start is not None:
        earlier = Student(len(data.names), depth=plan.depth).to(data.device)
        earlier.load_state_dict(weights(plan.start))
        found["earlier student"] = earlier.eval().requires_grad_(False)
    if not found:
        raise FileNotFoundError(f"no teacher-*.pt in {plan.work}: train the teachers first")
    scores = {
        name: teachers.accuracy(teachers.probabilities([teacher], data, data.val), data)[0]
        for name, teacher in found.items()
    }
    best = max(scores.values())
    chosen = [teacher for name, teacher in found.items() if scores[name] >= best - TEACHER_GAP]
    together = teachers.probabilities(chosen, data, data.val)
    scores[f"ensemble of {len(chosen)}"] = teachers.accuracy(together, data)[0]
    return chosen, scores


def weights(folder: Path) -> dict[str, Tensor]:
    """What a run left in OUT, float32, by name."""
    parts = [load_file(path) for path in sorted(folder.glob("student-*.safetensors"))]
    return {name: weight.float() for part in parts for name, weight in part.items()}


def run(rank: int, world: int, plan: Plan) -> None:
    """Train on GPU `rank` of `world` (or on CPU processes), as far as `plan` says."""
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(message)s")
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    # One gradient exchange after the backward pass: 30 MB, so there is nothing to overlap.
    torch._dynamo.config.optimize_ddp = False
    dist.init_process_group("nccl" if cuda else "gloo", rank=rank, world_size=world)
    torch.manual_seed(1000 * rank + int(time.time()) % 1000)
    np.random.seed(rank)  # timm's Mixup draws from it
    began = time.monotonic()
    data = teachers.Data(packs.load(plan.data), device)
    chosen, scores = faculty(plan, data)
    log.info("%s", json.dumps({"teachers": scores, "setup_s": time.monotonic() - began}))
    trainer = Trainer(rank, plan, data, chosen)
    trainer.train()
    trainer.finish(scores)
    dist.barrier()  # nobody leaves while another still needs the group


class Trainer:
    """The state of one run on one GPU."""

    def __init__(self, rank: int, plan: Plan, data: teachers.Data, chosen: list[nn.Module]) -> None:
        self.rank, self.plan, self.data, self.chosen = rank, plan, data, chosen
        dishes, device = len(data.names), data.device
        torch.manual_seed(1)
        self.student = Student(dishes, depth=plan.depth, drop_path=plan.drop_path).to(device)
        if plan.start is not None:
            self.student.load_state_dict(weights(plan.start))
        torch.manual_seed(1000 + rank + int(time.time()) % 997 * 64)
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.student, plan.weight_decay),
            lr=plan.learning_rate,
            betas=(0.9, 0.99),
            fused=device.type == "cuda",
        )
        self.schedule = teachers.cosine(self.optimizer, 1e-6)
        self.average = ModelEmaV3(
            self.student, decay=plan.average_decay, use_warmup=True, foreach=True
        )
        self.step, self.spent = 0, 0.0
        self.total = plan.total_seconds or math.inf
        self._resume()
        compiled = torch.compile(self.student, dynamic=False) if plan.compiled else self.student
        self.forward = DistributedDataParallel(
            compiled,
            device_ids=[device.index] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )
        self.mixup = Mixup(
            mixup_alpha=0.4, cutmix_alpha=1.0, prob=0.8, label_smoothing=0.0, num_classes=dishes
        )
        self.ring = Ring(plan.ring, dishes, data.images.shape[-1], device)
        self.order = data.train[:0]
        self.loss = torch.zeros((), device=device)

    def train(self) -> None:
        """Rounds until the run's or the whole time is over."""
        self.forward.train()
        self._round()  # compiles, before the clock starts
        left = self._agreed(self.plan.until - time.time())
        self.total = self.plan.total_seconds or self.spent + left
        clock = teachers.Clock(self.total, self.spent)
        stop = min(self.total, self.spent + left)
        report, first = self.spent + 15, self.step
        while True:
            self.spent = self._agreed(clock.spent)
            if self.spent >= stop:
                break
            tick = min(1.0, self.spent / self.total) * teachers.TICKS
            self.schedule.step_update(int(tick))
            self._round()
            if self.spent >= report:
                report = self.spent + max(10.0, self.total / 12)
                if self.rank == 0:
                    self._report(first)
                    self._export()

    def finish(self, scores: dict[str, float]) -> None:
        """Keep the state, write the results and the soft labels."""
        if self.rank == 0:
            state = {
                "student": self.student.state_dict(),
                "average": self.average.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "spent": self.spent,
            }
            torch.save(state, self.plan.work / "student.pt")
            self._report(0, {"teachers": scores})
            self._export()
        if self.spent >= self.total:
            soft.write(self.data, self.chosen, self.average.module, self.plan.work, self.plan.out)

    def _resume(self) -> None:
        path = self.plan.work / "student.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.data.device, weights_only=True)
        self.student.load_state_dict(state["student"])
        self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent = state["step"], state["spent"]
        self.schedule.step_update(int(self.spent / self.total * teachers.TICKS))

    def _agreed(self, spent: float) -> float:
        """Rank 0's clock, so that all ranks take the same number of steps."""
        value = torch.tensor([spent], device=self.data.device, dtype=torch.float64)
        dist.broadcast(value, 0)
        return value.item()

    def _fresh(self, count: int) -> Tensor:
        """The next `count` train rows of an endless shuffled sequence."""
        while len(self.order) < count:
            train = self.data.train
            shuffled = train[torch.randperm(len(train), device=train.device)]
            self.order = torch.cat([self.order, shuffled])
        rows, self.order = self.order[:count], self.order[count:]
        return rows

    def _round(self) -> None:
        """Fill the ring with fresh views, then take ROUND steps."""
        rows = self._fresh(ROUND * self.plan.batch // REUSE)
        photos = augment.views(self.data.images[rows])
        mixed = [
            self.mixup(x, y)
            for x, y in zip(photos.split(MIX), self.data.labels[rows].split(MIX), strict=True)
        ]
        x = torch.cat([view for view, _ in mixed])
        said = torch.cat([teachers.ensemble(self.chosen, part) for part in x.split(1024)])
        truth = torch.cat([y for _, y in mixed])
        self.ring.add(x, (1 - TRUTH) * said + TRUTH * truth)
        for _ in range(ROUND):
            self._step()

    def _step(self) -> None:
        x, y = self.ring.draw(self.plan.batch)
        with torch.autocast(self.data.device.type, torch.bfloat16):
            logits = self.forward(x.float())
        self.loss = -(y * F.log_softmax(logits.float(), 1)).sum(1).mean()
        self.optimizer.zero_grad(set_to_none=True)
        self.loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.average.update(self.student, step=self.step)

    def _report(self, first: int, more: dict[str, Any] | None = None) -> None:
        scores = {
            key: [round(x, 4) for x in teachers.accuracy(self._val(model), self.data)]
            for key, model in (("average", self.average.module), ("latest", self.student))
        }
        world = dist.get_world_size()
        seen = self.step * self.plan.batch * world
        record = {
            "seconds": round(self.spent, 1),
            "steps": self.step,
            "epochs": round(seen / len(self.data.train), 1),
            "loss": round(self.loss.item(), 4),
            "val_top1_top3_top5": scores,
            **(more or {}),
        }
        log.info("%s", json.dumps(record))
        self.plan.out.mkdir(parents=True, exist_ok=True)
        with (self.plan.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _val(self, model: nn.Module) -> Tensor:
        return teachers.probabilities([model], self.data, self.data.val)

    def _export(self) -> None:
        """The averaged weights in two files (float32), names and plan beside them."""
        self.plan.out.mkdir(parents=True, exist_ok=True)
        items = [(k, v.cpu().contiguous()) for k, v in self.average.module.state_dict().items()]
        half = len(items) // 2
        save_file(dict(items[:half]), self.plan.out / "student-0.safetensors")
        save_file(dict(items[half:]), self.plan.out / "student-1.safetensors")
        plan = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self.plan).items()}
        about = {"names": self.data.names, "plan": plan, "steps": self.step}
        (self.plan.out / "student.json").write_text(json.dumps(about), encoding="utf-8")


def start(rank: int, world: int, plan: Plan) -> None:
    """`run` as the entry of a spawned process."""
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29511")
    run(rank, world, plan)
    logging.shutdown()
    # Everything is on disk. The group's threads and Python's end can wait for each other for ever.
    os._exit(0)
