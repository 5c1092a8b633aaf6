"""The CPU engine beside OpenVINO GenAI on the same folder: load, first token, tokens a second.

    python -m benchmarks.openvino [--model FOLDER] [--photos DIR] [--rounds 20] [--users 1 2 4]

First token is measured from the photo's bytes to the first piece of text: "new photo" with an empty
memory, "follow-up" when the photo has been seen, "critique" with the naming pass before it, as the
product asks. Medians; the best round in brackets, which a busy machine disturbs least.
"""

import argparse
import asyncio
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine import Generation, Message, critic, export, genai, nano
from engine.critic import Request
from engine.openvino import OpenVINO
from foodcritic import photos

QUESTION = "Which dish is in the photo, and is it any good?"
#: Never reached: answers are cut at this, so that all are equally long.
TOKENS = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=nano.MODEL)
    parser.add_argument("--photos", type=Path, help="a folder of photos; default: noise")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--users", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--only", choices=["ours", "genai"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    pictures = _pictures(given.photos, given.rounds)
    if given.only == "genai":
        _show(_genai(given.model, pictures))
        return
    if given.only == "ours":
        _show(asyncio.run(_ours(given.model, pictures, given.users)))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "model"
        started = time.perf_counter()
        export.export(given.model, folder)
        _show({"build": time.perf_counter() - started})
        genai.add_tokenizers(folder)
        for name in ("ours", "genai"):  # each in a process of its own, for its memory
            words = [*sys.argv[1:], "--model", str(folder), "--only", name]
            subprocess.run([sys.executable, "-m", "benchmarks.openvino", *words], check=True)


async def _ours(folder: Path, pictures: list[bytes], users: list[int]) -> dict[str, Any]:
    started = time.perf_counter()
    engine = OpenVINO(folder, name="model", concurrency=max([4, *users]))
    found: dict[str, Any] = {"engine": "ours", "load": time.perf_counter() - started}
    how = Generation(max_new_tokens=TOKENS, seed=0)

    async def one(picture: bytes) -> tuple[float, float, int]:
        """Seconds to the first piece, seconds in all, tokens."""
        begun, first, text = time.perf_counter(), 0.0, ""
        message = Message(role="user", text=QUESTION, images=(picture,))
        async for piece in engine.stream([message], how):
            first = first or time.perf_counter() - begun
            text += piece
        return first, time.perf_counter() - begun, engine.count(text)

    await one(pictures[0])
    found["new photo"] = _times([(await one(p))[0] for p in pictures[1:]])
    again = [await one(p) for p in pictures[1:]]
    found["follow-up"] = _times([first for first, _, _ in again])
    found["tokens/s"] = _rates([n / (whole - first) for first, whole, n in again if n > 8])
    for picture in pictures[1:]:
        engine._eyes._remembered.clear()
        answer = critic.answer(engine, Request(photos=(picture,)), how)
        async for _ in answer.write():
            pass
        found.setdefault("critique", []).append(answer.seconds_to_first_token)
    found["critique"] = _times(found["critique"])
    for count in users:
        begun = time.perf_counter()
        done = await asyncio.gather(*(one(p) for p in (pictures * count)[: 4 * count]))
        spent = time.perf_counter() - begun
        found[f"{count} users, tokens/s together"] = round(sum(n for _, _, n in done) / spent)
    found["resident MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await engine.close()
    return found


def _genai(folder: Path, pictures: list[bytes]) -> dict[str, Any]:
    import openvino as ov
    import openvino_genai

    started = time.perf_counter()
    pipeline = openvino_genai.VLMPipeline(folder, "CPU", INFERENCE_PRECISION_HINT="f32")
    found: dict[str, Any] = {"engine": "genai", "load": time.perf_counter() - started}
    how = openvino_genai.GenerationConfig()
    how.max_new_tokens, how.do_sample, how.rng_seed = TOKENS, True, 0
    how.temperature, how.top_p, how.top_k = 0.8, 0.8, 40

    def one(picture: bytes) -> tuple[float, float, int]:
        begun, first = time.perf_counter(), 0.0

        def note(_: str) -> Any:
            nonlocal first
            first = first or time.perf_counter() - begun
            return openvino_genai.StreamingStatus.RUNNING

        history = openvino_genai.ChatHistory()
        history.append({"role": "user", "content": QUESTION})
        shown = photos.decode(picture, 896).resize((448, 448), Image.Resampling.BICUBIC)
        images = [ov.Tensor(np.asarray(shown)[None])]
        said = pipeline.generate(history, images=images, generation_config=how, streamer=note)
        tokens = said.perf_metrics.get_num_generated_tokens()
        return first, time.perf_counter() - begun, tokens

    one(pictures[0])
    done = [one(p) for p in pictures[1:]]
    found["new photo"] = _times([first for first, _, _ in done])
    found["tokens/s"] = _rates([n / (whole - first) for first, whole, n in done if n > 8])
    found["resident MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _pictures(folder: Path | None, count: int) -> list[bytes]:
    if folder is not None:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in photos.FORMATS.values())
        return [photos.read(files[i % len(files)]) for i in range(count + 1)]
    random, made = np.random.default_rng(0), []
    for _ in range(count + 1):
        file = io.BytesIO()
        small = Image.fromarray(random.integers(0, 255, (30, 40, 3), np.uint8))
        small.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG")
        made.append(file.getvalue())
    return made


def _times(seconds: list[float]) -> str:
    return f"{1000 * statistics.median(seconds):.0f} ms ({1000 * min(seconds):.0f})"


def _rates(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f} ({max(rates):,.0f})" if rates else "-"


def _show(found: dict[str, Any]) -> None:
    clean: Callable[[Any], Any] = lambda v: round(v, 3) if isinstance(v, float) else v  # noqa: E731
    sys.stdout.write(json.dumps({k: clean(v) for k, v in found.items()}) + "\n")


if __name__ == "__main__":
    main()
