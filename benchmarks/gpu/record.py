"""Record what a real OpenAI-compatible server answers, for tests that have no GPU.

    python -m benchmarks.gpu.record MODEL OUT [--photo samples/sushi.jpg]

Starts `lmdeploy serve api_server` on the model, asks it what the HTTP engine asks, and what goes
wrong, and writes each exchange as one JSON file: the request without its photo, the status, the
headers that matter and the body as it came.
"""

import argparse
import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from benchmarks.gpu import systems
from foodcritic import prompts

KEPT = ("content-type", "retry-after", "server")


async def record(given: Any) -> None:
    given.out.mkdir(parents=True, exist_ok=True)
    stored = json.loads((given.model / "config.json").read_text())["torch_dtype"]
    # Left to itself, LMDeploy hands float32 pixels of a float32 checkpoint to a vision encoder in
    # 16 bits, which ends the process.
    dtype = "bfloat16" if stored == "bfloat16" else "float16"
    extra = ("--dtype", dtype, "--session-len", "2048", "--enable-prefix-caching")
    server = systems.Server(given.model, extra=extra)
    await server.open()
    try:
        for name, method, path, body in exchanges(given.photo):
            if body:
                body = {"model": "critic", **body}
            reply = await server.http.request(method, path, json=body)
            kept = {key: reply.headers[key] for key in KEPT if key in reply.headers}
            exchange = {"method": method, "path": path, "asked": _without_photo(body)}
            exchange |= {"status": reply.status_code, "headers": kept, "body": reply.text}
            text = json.dumps(exchange, ensure_ascii=False, indent=1)
            (given.out / f"{name}.json").write_text(text + "\n", "utf-8")
    finally:
        await server.close()


def exchanges(photo: Path) -> list[tuple[str, str, str, Any]]:
    """Name, method, path and body of each."""
    chat = "/v1/chat/completions"
    naming, critique = prompts.naming("en"), prompts.critique("en")
    plain = {"temperature": 0, "max_tokens": 48}
    odds = {"logprobs": True, "top_logprobs": 5, "max_tokens": 24}
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    seen, broken = [_user(photo, naming)], [_user(b"no photo", naming)]
    said = [_user(photo, critique), {"role": "assistant", "content": "**Sushi** (寿司)"}]
    return [
        ("health", "GET", "/health", None),
        ("models", "GET", "/v1/models", None),
        ("name", "POST", chat, {"messages": seen, **plain, **odds}),
        ("name-sampled", "POST", chat, {"messages": seen, **odds, "temperature": 1, "seed": 1}),
        ("stream", "POST", chat, {"messages": [_user(photo, critique)], **plain, **stream}),
        ("stream-sampled", "POST", chat,
         {"messages": [_user(photo, critique)], "temperature": 0.8, "top_p": 0.8, "top_k": 40,
          "seed": 7, "max_tokens": 48, **stream}),
        ("follow-up", "POST", chat,
         {"messages": [*said, {"role": "user", "content": "Is it healthy?"}], **plain, **stream}),
        ("continued", "POST", chat,
         {"messages": said, **plain, "add_generation_prompt": False,
          "continue_final_message": True}),
        ("four-tiles", "POST", chat, {"messages": [_user(photo, naming, 4)], **plain}),
        ("two-photos", "POST", chat,
         {"messages": [_user(photo, naming, photos=2)], **plain}),
        ("too-long", "POST", chat,
         {"messages": [_user(photo, "long " * 3000)], **plain, **stream}),
        ("broken-photo", "POST", chat, {"messages": broken, **plain, **stream}),
        ("unknown-model", "POST", chat, {"messages": seen, **plain, "model": "gone"}),
        ("wrong-value", "POST", chat, {"messages": seen, "temperature": 99}),
        ("unknown-path", "GET", "/v1/nothing", None),
    ]  # fmt: skip


def _user(photo: Path | bytes, text: str, tiles: int | None = None, photos: int = 1) -> Any:
    data = photo if isinstance(photo, bytes) else photo.read_bytes()
    image: dict[str, Any] = {"url": "data:image/jpeg;base64," + base64.b64encode(data).decode()}
    if tiles:
        image["max_dynamic_patch"] = tiles
    shown = [{"type": "image_url", "image_url": image}] * photos
    return {"role": "user", "content": [*shown, {"type": "text", "text": text}]}


def _without_photo(body: Any) -> Any:
    if isinstance(body, dict):
        return {key: _without_photo(value) for key, value in body.items()}
    if isinstance(body, list):
        return [_without_photo(value) for value in body]
    return "data:image/jpeg;base64,…" if str(body).startswith("data:") else body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photo", type=Path, default=Path("samples/sushi.jpg"))
    asyncio.run(record(parser.parse_args()))


if __name__ == "__main__":
    main()
