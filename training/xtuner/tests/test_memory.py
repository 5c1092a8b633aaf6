"""Running out of memory, or of disk, is told apart from other ends, with what might help."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from training.xtuner import checkpoints, machine
from training.xtuner.train import OUT_OF_MEMORY

ROOT = Path(__file__).parents[3]
#: Bytes more than an idle process that has imported everything: what a batch of 64 does not fit.
ROOM = 800_000_000

#: A training process that may take so much more than it has when everything is imported.
BOUNDED = f"""
import sys
from training.xtuner import train
import torch, xtuner.model, xtuner.tools.train
torch.nn.functional.linear(torch.ones(64, 64), torch.ones(64, 64))
lines = open("/proc/self/status")
size = next(int(line.split()[1]) for line in lines if line.startswith("VmData")) * 1024
train.main([*sys.argv[1:], "--memory-gb", str((size + {ROOM}) / 1e9)])
"""


def test_a_batch_that_does_not_fit_ends_with_a_status_of_its_own(tmp_path: Path) -> None:
    photo = str(ROOT / "samples" / "pizza.jpg")
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "pizza"}]
    record = {"id": "1", "image": photo, "conversations": turns}
    (tmp_path / "train.json").write_text(json.dumps([record] * 4), encoding="utf-8")

    values = ("data.batch_size=64", "data.iterations=2", "data.workers=0")
    command = [
        *(sys.executable, "-c", BOUNDED, "nano-full", "--out", str(tmp_path / "model")),
        *("--model", str(ROOT / "engine/nano/model"), "--images", "/"),
        *("--data", str(tmp_path / "train.json"), "--work", str(tmp_path / "work")),
        *(word for value in values for word in ("--set", value)),
    ]
    ended = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    assert ended.returncode == OUT_OF_MEMORY
    said = json.loads(ended.stdout.strip().splitlines()[-1])
    assert said["split"] == 2
    assert "memory" in said["out_of_memory"]
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("raised", "memory", "room"),
    [
        (MemoryError(), True, False),
        (torch.OutOfMemoryError("CUDA out of memory"), True, False),
        (OSError(errno.ENOSPC, "No space left on device"), False, True),
        (OSError(errno.EFBIG, "File too large"), False, True),
        (OSError(errno.EIO, "Input/output error"), False, False),
    ],
)
def test_what_interrupted_a_save_is_known_though_torch_hides_it(
    raised: BaseException, memory: bool, room: bool
) -> None:
    class Torn(io.BytesIO):
        def write(self, data: Any) -> int:
            if len(data) > 2000:  # the weights, after what describes them
                raise raised
            return super().write(data)

    with pytest.raises(RuntimeError, match="unexpected pos") as seen:
        torch.save({"weights": torch.zeros(1000)}, Torn())
    assert machine.is_out_of_memory(seen.value) is memory
    assert (machine.unwritable(seen.value) is not None) is room


def test_only_a_whole_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    assert checkpoints.last(tmp_path) is None
    (tmp_path / "last_checkpoint").touch()  # a disk that was full
    assert checkpoints.last(tmp_path) is None
    for name in ("iter_4.pth", "iter_8.pth", "iter_12.pth.part"):
        (tmp_path / name).touch()
    (tmp_path / "iter_16.pth.part").mkdir()  # DeepSpeed's
    (tmp_path / "last_checkpoint").write_text("/moved/since/iter_8.pth")
    checkpoints.tidy(tmp_path)
    assert checkpoints.last(tmp_path) == tmp_path / "iter_8.pth"
    assert [path.name for path in tmp_path.glob("iter_*")] == ["iter_8.pth"]
