"""Greedy answers of the CPU engine beside PyTorch's, letter by letter, on the same photos.

    python -m benchmarks.parity INDEX --python training/xtuner/.venv/bin/python [--photos 50]

The engine makes the prompts and its answers here; the other Python, which has torch and
transformers, answers the same prompts with the checkpoint's own code in 32 bits. Prints one JSON
object; exits with 1 unless every answer is the same.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from engine import Generation, Message, critic, datasets, nano, openvino, tiling
from foodcritic import photos, prompts
from foodcritic.dishes import Lang

TOKENS = 200
GREEDY = Generation(greedy=True, max_new_tokens=TOKENS)
#: Run by the other Python: argv is the checkpoint, what was asked, where the answers go.
PYTORCH = """
import sys, numpy, torch
from transformers import AutoModel
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True, torch_dtype=torch.float32)
model, given, answers = model.eval(), numpy.load(sys.argv[2]), {}
model.img_context_token_id = int(given["picture"])
for i in range(int(given["count"])):
    ids = torch.tensor(given[f"ids{i}"])[None]
    new = model.generate(
        torch.tensor(given[f"pixels{i}"]), ids, torch.ones_like(ids),
        max_new_tokens=int(given["tokens"]), do_sample=False,
        eos_token_id=given["ends"].tolist(), pad_token_id=int(given["ends"][0]))
    answers[f"answer{i}"] = new[0].numpy()
numpy.savez(sys.argv[3], **answers)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path, help="index.csv or manifest.csv")
    parser.add_argument("--python", required=True, help="one with torch and transformers")
    parser.add_argument("--model", type=Path, default=nano.MODEL, help="the checkpoint")
    parser.add_argument("--photos", type=int, default=50)
    parser.add_argument("--split", help="rows of the table to use")
    given = parser.parse_args()
    rows = datasets.labelled(given.table, given.split)
    rows = [rows[i * len(rows) // given.photos] for i in range(given.photos)]
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        engine = openvino.load(given.model, here / "models")
        ends = sorted(engine._shape.ends)
        asked: dict[str, Any] = {
            "picture": engine._shape.picture,
            "count": len(rows),
            "tokens": TOKENS,
            "ends": np.array(ends),
        }
        ours = []
        for i, row in enumerate(rows):
            data = row.read()
            lang: Lang = "en" if i % 2 else "zh"
            named = engine.name([[Message(role="user", text=prompts.naming(lang), images=(data,))]])
            hint = critic.judge(named[0], engine.unsure_below)
            text = prompts.critique(lang, hint)
            # Every third without a hint: then the answer hangs on the picture alone.
            text = prompts.critique(lang) if i % 3 == 0 else text
            messages = [Message(role="user", text=text, images=(data,))]
            ids = engine._tokenizer.encode(
                engine._template.render(messages, [[engine._shape.tokens]])
            )
            asked[f"ids{i}"] = np.array(ids)
            cut = tiling.tiles(photos.decode(data), 1, engine._shape.size)
            asked[f"pixels{i}"] = tiling.normalised(cut)
            ours.append("".join(engine.answer(messages, GREEDY, threading.Event())))
        np.savez(here / "asked.npz", **asked)
        files = [str(given.model), str(here / "asked.npz"), str(here / "answers.npz")]
        subprocess.run([given.python, "-c", PYTORCH, *files], check=True)
        theirs = np.load(here / "answers.npz")
        same, tokens = 0, 0
        for i, mine in enumerate(ours):
            other = [int(t) for t in theirs[f"answer{i}"] if int(t) not in ends]
            same += mine == engine._tokenizer.decode(other)
            tokens += len(other)
    found = {"photos": len(rows), "equal": same, "tokens": tokens}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if same == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
