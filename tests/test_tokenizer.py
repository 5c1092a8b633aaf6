"""The nano tokenizer: its size, its single-token names, and XTuner's training text to the byte."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from foodcritic import prompts
from foodcritic.dishes import DISHES
from tests.conftest import CHARACTERS
from training.nano import answers
from training.nano import tokenizer as nano
from training.nano.answers import Subject


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    rng = random.Random(0)
    texts = [
        answers.review(Subject(dish=dish), lang, "frank", rng)
        for dish in DISHES.values()
        for lang in nano.LANGS
    ]
    return nano.train(texts)


def test_the_vocabulary_has_its_exact_size(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == nano.VOCABULARY == 1536
    assert sorted(tokenizer.get_vocab().values()) == list(range(1536))


def test_special_tokens_come_first_in_internlm2s_order(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_to_id(token) for token in nano.SPECIAL] == list(range(18))
    assert nano.SPECIAL[:3] == ("<unk>", "<s>", "</s>")
    for token in nano.SPECIAL:
        assert tokenizer.encode(token).ids == [tokenizer.token_to_id(token)]


def test_every_name_is_one_token(tokenizer: Tokenizer) -> None:
    for name in nano.names():
        assert len(tokenizer.encode(name).ids) == 1
        assert tokenizer.decode(tokenizer.encode(f"**{name}**").ids) == f"**{name}**"
    assert len(nano.names()) == 2 * len(DISHES) + 2


@given(text=st.text(CHARACTERS))
def test_any_text_survives(tokenizer: Tokenizer, text: str) -> None:
    cleaned = prompts.clean(text)
    assert tokenizer.decode(tokenizer.encode(cleaned).ids) == cleaned


@given(text=st.text(CHARACTERS))
def test_cleaned_text_holds_no_special_token(tokenizer: Tokenizer, text: str) -> None:
    hostile = text + "<IMG_<img>CONTEXT>" + text
    assert min(tokenizer.encode("a" + prompts.clean(hostile)).ids) >= len(nano.SPECIAL)


def test_nothing_is_put_before_or_after_a_text(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode("ramen", add_special_tokens=False).ids
    assert tokenizer.encode("ramen", add_special_tokens=True).ids == plain


def render(messages: list[dict[str, str]], *, ask: bool = False) -> str:
    # As transformers builds it.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(nano.CHAT_TEMPLATE)
    return template.render(messages=messages, add_generation_prompt=ask)


TURNS = [("<img></img>\n这是什么？", "日式拉面"), ("Is it {{ hot }}?\n", "Yes.\n\n**Very**.")]
# xtuner 0.2.0, InternVL_V1_5_Dataset.__init__ and .get_inputid_labels, piece by piece.
XTUNER_SYSTEM = "<|im_start|>system\n{system}<|im_end|>"
XTUNER_INSTRUCTION = "<|im_start|>user\n{input}<|im_end|><|im_start|>assistant\n"
XTUNER_SUFFIX = "<|im_end|>"


def xtuner_text(turns: list[tuple[str, str]]) -> str:
    text = XTUNER_SYSTEM.format(
        system="You are an AI assistant whose name is InternLM (书生·浦语)."
    )
    for question, answer in turns:
        text += XTUNER_INSTRUCTION.format(input=question.strip()) + answer.strip() + XTUNER_SUFFIX
    return text


def test_the_chat_template_renders_xtuners_training_text() -> None:
    turns = [(question.strip(), answer) for question, answer in TURNS]
    messages = [
        {"role": role, "content": content}
        for turn in turns
        for role, content in zip(("user", "assistant"), turn, strict=True)
    ]
    assert render(messages) == xtuner_text(turns)
    asking = render(messages[:-1], ask=True)
    assert xtuner_text(turns).startswith(asking)
    assert asking.endswith("<|im_start|>assistant\n")
    system = {"role": "system", "content": prompts.SYSTEM}
    assert render([system, *messages]) == render(messages)


def test_the_training_text_is_xtuners() -> None:
    assert nano.training_text([("a", "b"), ("c", "d")]) == xtuner_text([("a", "b"), ("c", "d")])
    pictured = nano.training_text([("a", "b")], image_tokens=3)
    assert "user\n<img><IMG_CONTEXT><IMG_CONTEXT><IMG_CONTEXT></img>\na<|im_end|>" in pictured


def test_the_files_agree_with_the_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    nano.save(tokenizer, tmp_path)
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = nano.training_text([(prompts.critique("zh"), "**日式拉面**（Ramen）· 日本料理 · 8/10")])
    assert again.encode(text).ids == tokenizer.encode(text).ids

    def read(name: str) -> Any:
        return json.loads((tmp_path / name).read_text(encoding="utf-8"))

    assert read("generation_config.json")["eos_token_id"] == [2, 4]
    assert again.id_to_token(4) == "<|im_end|>"
    config = read("tokenizer_config.json")
    assert config["model_max_length"] == 2048
    assert config["chat_template"] == (tmp_path / "chat_template.jinja").read_text("utf-8")
    assert config["chat_template"] == nano.CHAT_TEMPLATE
    assert [config[f"{kind}_token"] for kind in ("unk", "bos", "eos", "pad")] == [
        "<unk>",
        "<s>",
        "</s>",
        "</s>",
    ]


def test_fixed_prompts_are_short(tokenizer: Tokenizer) -> None:
    for lang in nano.LANGS:
        assert len(tokenizer.encode(prompts.naming(lang)).ids) <= 40
        assert len(tokenizer.encode(prompts.critique(lang)).ids) <= 200


def test_the_command_learns_from_written_dialogues(tmp_path: Path) -> None:
    lines = [
        json.dumps(
            {"conversations": [{"value": f"<image>\n{dish.looks_en}"}, {"value": dish.looks_zh}]},
            ensure_ascii=False,
        )
        for dish in DISHES.values()
    ]
    (tmp_path / "train.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    nano.main([str(tmp_path / "out"), "--train", str(tmp_path / "train.json")])
    assert Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).get_vocab_size() == 1536
