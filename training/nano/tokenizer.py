"""The nano model's tokenizer: byte-level BPE over our own text, in the files every runtime reads.

    python -m training.nano.tokenizer OUT [--train train.json]

1,536 tokens: InternVL2's special tokens, the 256 bytes, merges, and the names of the dishes, each a
token of its own in both languages, so that naming a photo is one step and its likelihoods are one
softmax.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from foodcritic import prompts
from foodcritic.dishes import DISHES, Dish, Lang

LANGS: Final[tuple[Lang, Lang]] = ("zh", "en")
VOCABULARY: Final = 1536
#: Tokens a dialogue may have, picture included.
CONTEXT: Final = 2048

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
TURN_END: Final = "<|im_end|>"
#: InternVL2's special tokens, by id from 0: InternLM2's first three, the chat's, the picture's.
SPECIAL: Final = (
    *(UNKNOWN, BEGIN, END),
    *("<|im_start|>", TURN_END, "<|action_start|>", "<|action_end|>"),
    *("<|interpreter|>", "<|plugin|>"),
    *("<img>", "</img>", "<IMG_CONTEXT>"),
    *("<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"),
)

#: What XTuner's InternVL dataset feeds the model: a system line of its own, no newline after
#: <|im_end|>, and no <s>, which our tokenizer does not add.
#: (xtuner 0.2.0, xtuner/dataset/internvl_dataset.py, InternVL_V1_5_Dataset)
CHAT_TEMPLATE: Final = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\n" + prompts.SYSTEM + "<|im_end|>' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# A merge spans at most four Chinese characters or twelve letters: longer ones are sentences of our
# templates, which would teach the model to recite them.
_LONGEST_MERGE = 12
# How often the table of dishes is read beside the dialogues.
_TABLE_WEIGHT = 3
# How often each fixed prompt is: it is read before every answer, so its length is waiting time.
_PROMPT_WEIGHT = 30


def names() -> tuple[str, ...]:
    """What the naming prompt may be answered with: the dishes in both languages, and no dish."""
    every = (dish.text("name", lang) for lang in LANGS for dish in DISHES.values())
    return (*dict.fromkeys(every), *prompts.NO_DISH_NAME.values())


def table_text(dishes: Iterable[Dish]) -> Iterator[str]:
    """Every text of the dishes, one at a time."""
    for dish in dishes:
        for field in Dish.__dataclass_fields__:
            value = getattr(dish, field)
            if isinstance(value, str):
                yield value
            elif isinstance(value, tuple):
                yield from value


def fixed_prompts() -> Iterator[str]:
    """Every prompt without a hint or a person's words."""
    for lang in LANGS:
        yield prompts.naming(lang)
        yield prompts.critique(lang)
        yield prompts.question(lang, "")
        yield prompts.choice(lang, "", ())
        yield from (prompts.meme(lang, style) for style in prompts.MEME_STYLES)


def train(dialogues: Iterable[str]) -> Tokenizer:
    """Learn the merges from dialogue texts and the table of dishes; exactly VOCABULARY tokens."""
    added = names()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(added),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=_LONGEST_MERGE,
        show_progress=False,
    )
    table = list(table_text(DISHES.values())) * _TABLE_WEIGHT
    fixed = [prompts.SYSTEM, *fixed_prompts()] * _PROMPT_WEIGHT
    # The names are cut out first, as they will be when the tokenizer is used.
    longest_first = sorted(map(re.escape, added), key=len, reverse=True)
    splitter = pre_tokenizers.Split(Regex("|".join(longest_first)), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([splitter, tokenizer.pre_tokenizer])
    tokenizer.train_from_iterator([*dialogues, *table, *fixed], trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in added])
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise ValueError(
            f"{tokenizer.get_vocab_size()} tokens, not {VOCABULARY}: a dish's name was also merged"
        )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write what transformers, LMDeploy and OpenVINO read: five files."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    marks = {"bos_token": BEGIN, "eos_token": END, "pad_token": END, "unk_token": UNKNOWN}
    _write(
        folder / "tokenizer_config.json",
        {
            **marks,
            "add_bos_token": False,
            "add_eos_token": False,
            "additional_special_tokens": list(SPECIAL[3:]),
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    _write(
        folder / "special_tokens_map.json",
        {**marks, "additional_special_tokens": list(SPECIAL[3:])},
    )
    number = tokenizer.token_to_id
    _write(
        folder / "generation_config.json",
        {
            "bos_token_id": number(BEGIN),
            "eos_token_id": [number(END), number(TURN_END)],
            "pad_token_id": number(END),
        },
    )


def training_text(turns: Sequence[tuple[str, str]], image_tokens: int = 0) -> str:
    """The text XTuner trains on for (question, answer) turns, the picture in the first question."""
    picture = f"<img>{'<IMG_CONTEXT>' * image_tokens}</img>\n" if image_tokens else ""
    text = f"<|im_start|>system\n{prompts.SYSTEM}<|im_end|>"
    for question, answer in turns:
        asked = f"<|im_start|>user\n{picture}{question}<|im_end|><|im_start|>assistant\n"
        text += f"{asked}{answer}<|im_end|>"
        picture = ""
    return text


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def dialogue_texts(records: Iterable[dict[str, Any]], most: int) -> Iterator[str]:
    """Every distinct line of at most `most` records: repeated prompts would swamp the merges."""
    seen: set[str] = set()
    for record, _ in zip(records, range(most), strict=False):
        for message in record["conversations"]:
            for line in message["value"].removeprefix("<image>\n").splitlines():
                if line not in seen:
                    seen.add(line)
                    yield line


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.nano.tokenizer")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--train", type=Path, required=True, help="train.json of dialogues")
    parser.add_argument("--most", type=int, default=20_000, help="records to learn from")
    args = parser.parse_args(argv)
    with args.train.open(encoding="utf-8") as file:
        lines = (line.strip().rstrip(",") for line in file)
        found = (json.loads(line) for line in lines if line.startswith("{"))
        tokenizer = train(list(dialogue_texts(found, args.most)))
    save(tokenizer, args.out)
    sys.stdout.write(f"{args.out}: {tokenizer.get_vocab_size()} tokens\n")


if __name__ == "__main__":
    main()
