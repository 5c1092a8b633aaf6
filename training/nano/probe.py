# mypy: disable-error-code="misc,no-any-return,import-not-found,untyped-decorator"
"""What a nano checkpoint knows and how it speaks, in torch: naming accuracy and sample answers.

    python -m training.nano.probe CHECKPOINT --packs PACK… [--answers 6] [--out FILE]

The product's own evaluation runs the OpenVINO engine; this one answers in seconds on a GPU, where
the checkpoint is trained. A dish's name is one token: one softmax holds all likelihoods.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, DynamicCache

from foodcritic import prompts
from foodcritic.dishes import DISHES, Lang
from training.nano import packs

#: ImageNet's channel means and deviations, which InternVL normalises with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGE_TOKENS = 64
LANGS: tuple[Lang, Lang] = ("zh", "en")


@dataclass(frozen=True, slots=True)
class Nano:
    """A checkpoint ready to answer."""

    model: Any
    tokenizer: Any
    device: torch.device


def load(folder: Path) -> Nano:
    """Load a checkpoint folder in float32, on the GPU if there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = AutoModel.from_pretrained(folder, trust_remote_code=True, torch_dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model.img_context_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    return Nano(model.eval().to(device), tokenizer, device)


def photos(folders: Sequence[Path], split: str = "val") -> Iterator[tuple[str, Image.Image]]:
    """Yield (English label, photo) of one split of packs."""
    for folder in folders:
        rows = packs.index(folder)
        for row, data in zip(rows, packs.blobs(folder, rows), strict=True):
            if row.split == split:
                with Image.open(io.BytesIO(data)) as photo:
                    yield row.label_en, photo.convert("RGB")


def pixels(nano: Nano, images: Sequence[Image.Image]) -> Tensor:
    """Normalised (n, 3, 448, 448) as the product makes them: Pillow's bicubic."""
    large = [np.asarray(image.resize((448, 448), Image.Resampling.BICUBIC)) for image in images]
    x = torch.from_numpy(np.stack(large)).to(nano.device).permute(0, 3, 1, 2).float() / 255
    mean, std = (x.new_tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (x - mean) / std


def prompt(nano: Nano, text: str, picture: bool = True) -> list[int]:
    """Token ids of a first question, in the training template."""
    seen = f"<img>{'<IMG_CONTEXT>' * IMAGE_TOKENS}</img>\n" if picture else ""
    return nano.tokenizer.encode(
        f"<|im_start|>system\n{prompts.SYSTEM}<|im_end|><|im_start|>user\n{seen}{text}"
        "<|im_end|><|im_start|>assistant\n"
    )


def features(nano: Nano, x: Tensor) -> Tensor:
    """Picture tokens (n, 64, hidden)."""
    return nano.model.extract_feature(x)


def start(nano: Nano, ids: Sequence[int], seen: Tensor) -> tuple[Tensor, DynamicCache]:
    """Logits of the first answer token (n, vocabulary) after one prompt over n photos' tokens."""
    tokens = torch.tensor(ids, device=nano.device).expand(len(seen), -1)
    words = nano.model.get_input_embeddings()(tokens)
    places = (tokens == nano.model.img_context_token_id).unsqueeze(-1)
    words = words.masked_scatter(places, seen.to(words.dtype))
    cache = DynamicCache()
    logits = nano.model.language_model(inputs_embeds=words, past_key_values=cache).logits
    return logits[:, -1], cache


def answer(nano: Nano, ids: Sequence[int], seen: Tensor, most: int = 320) -> list[str]:
    """Greedy answers to one prompt over n photos' tokens."""
    logits, cache = start(nano, ids, seen)
    end = nano.tokenizer.convert_tokens_to_ids("<|im_end|>")
    done = torch.zeros(len(seen), dtype=torch.bool, device=nano.device)
    said = []
    for _ in range(most):
        token = torch.where(done, end, logits.argmax(-1))
        said.append(token)
        done |= token == end
        if done.all():
            break
        output = nano.model.language_model(token[:, None], past_key_values=cache)
        logits = output.logits[:, -1]
    rows = torch.stack(said, 1).tolist()
    return [nano.tokenizer.decode([t for t in row if t != end]) for row in rows]


def likelihoods(nano: Nano, lang: Lang, seen: Tensor) -> Tensor:
    """Probability (n, dishes + 1) of each dish's name, in DISHES' order, and of "no dish"."""
    names = [dish.text("name", lang) for dish in DISHES.values()] + [prompts.NO_DISH_NAME[lang]]
    ids = [nano.tokenizer.encode(name, add_special_tokens=False) for name in names]
    long = [name for name, tokens in zip(names, ids, strict=True) if len(tokens) != 1]
    if long:
        raise ValueError(f"{long[0]!r} is not one token: train the tokenizer again")
    logits, _ = start(nano, prompt(nano, prompts.naming(lang)), seen)
    return F.softmax(logits.float(), -1)[:, [tokens[0] for tokens in ids]]


@torch.no_grad()
def naming(nano: Nano, folders: Sequence[Path], batch: int = 256) -> dict[str, Any]:
    """Accuracy on the val rows, per language and of both languages' mean."""
    keys = list(DISHES)
    labels: list[int] = []
    chances: dict[str, list[Tensor]] = {lang: [] for lang in LANGS}
    for group in _groups(photos(folders), batch):
        labels += [keys.index(label) for label, _ in group]
        with torch.autocast(nano.device.type, torch.bfloat16, enabled=nano.device.type == "cuda"):
            seen = features(nano, pixels(nano, [image for _, image in group]))
            for lang in LANGS:
                chances[lang].append(likelihoods(nano, lang, seen).cpu())
    truth = torch.tensor(labels)
    whole: dict[str, Tensor] = {lang: torch.cat(parts) for lang, parts in chances.items()}
    whole["both"] = torch.stack(list(whole.values())).mean(0)
    return {"n": len(truth), **{name: scores(p, truth) for name, p in whole.items()}}


def scores(chances: Tensor, truth: Tensor) -> dict[str, float]:
    """top1, top3, how sure it is, and how often it is right where it is among the surest 60 %."""
    best = chances.topk(3, 1)
    right = best.indices == truth[:, None]
    sure, order = best.values[:, 0].sort(descending=True)
    kept = order[: round(0.6 * len(order))]
    return {
        "top1": round(right[:, 0].float().mean().item(), 4),
        "top3": round(right.any(1).float().mean().item(), 4),
        "mean_probability": round(sure.mean().item(), 4),
        "right_where_surest_60": round(right[kept, 0].float().mean().item(), 4),
        "probability_at_60": round(sure[len(kept) - 1].item(), 4),
    }


@torch.no_grad()
def answers(nano: Nano, folders: Sequence[Path], count: int) -> list[dict[str, str]]:
    """Greedy answers to prompts of every kind about the first `count` val photos."""
    said = []
    for number, (label, image) in zip(range(count), photos(folders), strict=False):
        seen = features(nano, pixels(nano, [image]))
        lang = LANGS[number % 2]
        chances = likelihoods(nano, lang, seen)[0, :-1].topk(3)
        keys = [list(DISHES)[i] for i in chances.indices.tolist()]
        unsure = chances.values[0].item() < 0.4
        named = [(DISHES[key].name_en, None) for key in keys]
        hint = prompts.hint(named if unsure else named[:1], unsure=unsure)
        asked = "这是哪里的菜？" if lang == "zh" else "Where does it come from?"
        for kind, text in {
            "naming": prompts.naming(lang),
            "critique": prompts.critique(lang, hint),
            "critique, no hint": prompts.critique(lang),
            "question": prompts.question(lang, asked, hint),
            "meme": prompts.meme(lang, "top_bottom", hint),
            "evidence": prompts.critique(lang, prompts.hint([], unsure=False, evidence="pho")),
        }.items():
            reply = answer(nano, prompt(nano, text), seen)[0]
            said.append({"label": label, "hint": hint.line(lang), "kind": kind, "answer": reply})
    return said


def _groups(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.nano.probe")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--packs", type=Path, nargs="+", required=True)
    parser.add_argument("--answers", type=int, default=0, help="photos to answer prompts about")
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    args = parser.parse_args(argv)
    began = time.monotonic()
    nano = load(args.checkpoint)
    report = naming(nano, args.packs)
    report["seconds"] = round(time.monotonic() - began, 1)
    if args.answers:
        report["answers"] = answers(nano, args.packs, args.answers)
    text = json.dumps(report, ensure_ascii=False, indent=1)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
