"""Whether nano names the same dish through OpenVINO and through both of LMDeploy's engines.

    python -m benchmarks.gpu.parity ask TABLE OUT --engine openvino|turbomind|pytorch [--photos 100]
    python -m benchmarks.gpu.parity compare OUT...       exits with 1 unless all name the same

`ask` writes, for each photo and in both languages, the greedy answer to the naming prompt, the
candidates with their probabilities, and a greedy critique.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from engine import Generation, Message, datasets, nano, text
from foodcritic import prompts

LANGS = ("en", "zh")
NAMING = Generation(greedy=True, max_new_tokens=24)
CRITIQUE = Generation(greedy=True, max_new_tokens=96)


async def load(name: str, model: Path, plan: dict[str, Any]) -> Any:
    if name == "openvino":
        from engine import openvino

        return openvino.load(model, Path("/tmp/foodcritic-parity"))
    from engine import folder, gpu, lmdeploy
    from engine.plan import Plan

    words = text.tokenizer(model)
    picture = folder.shape(model, words).picture
    small = {"session_len": 2048, "max_batch_size": 32, "max_prefill_token_num": 1024}
    usual = small | {"cache_max_entry_count": 0.05, "own_vision": name == "turbomind"}
    how = Plan(backend=name, trusted=True, **(usual | plan))  # type: ignore[arg-type]
    runner = await asyncio.to_thread(lmdeploy.load, model, how, picture)
    dtype = how.dtype
    return gpu.GPU(runner, model, name=name, tokenizer=words, dtype=dtype)


async def ask(given: Any) -> None:
    rows = datasets.labelled(given.table, given.split)
    rows = [rows[i * len(rows) // given.photos] for i in range(given.photos)]
    engine = await load(given.engine, given.model, json.loads(given.plan))
    limit = asyncio.Semaphore(16)

    async def one(row: Any) -> dict[str, Any]:
        photo, found = row.read(), {"label": row.label_en}
        async with limit:
            for lang in LANGS:
                asked = [Message(role="user", text=prompts.naming(lang), images=(photo,))]
                found[f"name_{lang}"] = await _said(engine, asked, NAMING)
                found[f"candidates_{lang}"] = await engine.candidates(asked)
                asked = [Message(role="user", text=prompts.critique(lang), images=(photo,))]
                found[f"critique_{lang}"] = await _said(engine, asked, CRITIQUE)
        return found

    answers = await asyncio.gather(*(one(row) for row in rows))
    given.out.write_text(
        json.dumps({"engine": given.engine, "answers": answers}, ensure_ascii=False)
    )
    await engine.close()


async def _said(engine: Any, asked: list[Message], how: Generation) -> str:
    return "".join([piece async for piece in engine.stream(asked, how)])


def compare(given: Any) -> None:
    first, *others = [json.loads(path.read_text()) for path in given.out]
    same = True
    for other in others:
        pairs = list(zip(first["answers"], other["answers"], strict=True))
        result: dict[str, Any] = {
            "engines": [first["engine"], other["engine"]],
            "photos": len(pairs),
        }
        for lang in LANGS:
            for key in (f"name_{lang}", f"critique_{lang}"):
                result[key] = sum(a[key] == b[key] for a, b in pairs)
            best = f"candidates_{lang}"
            result[f"first_{lang}"] = sum(
                a[best][:1] and a[best][0][0] == b[best][0][0] for a, b in pairs
            )
            apart = [abs(a[best][0][1] - b[best][0][1]) for a, b in pairs if a[best] and b[best]]
            result[f"apart_{lang}"] = max(apart, default=0.0)
            differ = [(a["label"], a[f"name_{lang}"], b[f"name_{lang}"]) for a, b in pairs
                      if a[f"name_{lang}"] != b[f"name_{lang}"]]  # fmt: skip
            same &= not differ
            result[f"differ_{lang}"] = differ[:5]
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    raise SystemExit(0 if same else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("table", type=Path)
    asking.add_argument("out", type=Path)
    asking.add_argument("--engine", choices=("openvino", "turbomind", "pytorch"), required=True)
    asking.add_argument("--model", type=Path, default=nano.MODEL)
    asking.add_argument("--plan", default="{}")
    asking.add_argument("--photos", type=int, default=100)
    asking.add_argument("--split")
    asking.set_defaults(run=lambda given: asyncio.run(ask(given)))
    comparing = commands.add_parser("compare")
    comparing.add_argument("out", type=Path, nargs="+")
    comparing.set_defaults(run=compare)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
