"""Between messages and token ids: the model folder's own chat template and tokenizer.

```
 messages ─ template (Jinja, sandboxed) ─▶ prompt ─ tokenizer ─▶ ids ─ model ─▶ ids ─▶ text
```

A folder with tokenizer.json is read by `tokenizers`; one that optimum-intel wrote from a
SentencePiece model has openvino_tokenizer.xml instead.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import jinja2
import numpy as np
import tokenizers
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers.decoders import DecodeStream

from engine import Message
from foodcritic import prompts
from foodcritic.errors import ModelError

#: InternVL2's names for the place of a picture token and the marks around a picture.
CONTEXT, OPEN, CLOSE = "<IMG_CONTEXT>", "<img>", "</img>"
#: A prompt template longer than this is no template.
MAX_TEMPLATE = 100_000


class Tokenizer(Protocol):
    """What both kinds of tokenizer do; special tokens are read, but never written."""

    def encode(self, text: str) -> list[int]:
        """Token ids; nothing is put before or after them."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text, without special tokens."""

    def stream(self) -> "Decoding":
        """A decoder that takes one id at a time."""


class Decoder(Protocol):
    """The half of a tokenizer that writes."""

    def decode(self, ids: Sequence[int]) -> str: ...


class Decoding(Protocol):
    """Text as ids arrive; a character that needs several ids comes with its last."""

    def push(self, token: int) -> str: ...


class Template:
    """The chat template of a model folder.

    Raises:
        ModelError: the folder has none, or it does not render.
    """

    def __init__(self, folder: Path) -> None:
        settings = read(folder / "tokenizer_config.json")
        file = folder / "chat_template.jinja"
        source = file.read_text("utf-8") if file.is_file() else settings.get("chat_template")
        if isinstance(source, list):  # several, by name
            named = {entry.get("name"): entry.get("template") for entry in source}
            source = named.get("default")
        if not isinstance(source, str) or len(source) > MAX_TEMPLATE:
            raise ModelError(
                f"{folder} holds no chat template: it belongs into chat_template.jinja or, as "
                "chat_template, into tokenizer_config.json"
            )
        self.folder = folder
        self._tokens = {
            name: _content(settings.get(name)) for name in ("bos_token", "eos_token", "pad_token")
        }
        world = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        world.globals["raise_exception"] = _refuse
        try:
            self._template = world.from_string(source)
        except jinja2.TemplateError as error:
            raise ModelError(f"{folder}: the chat template is broken: {error}") from error

    def render(self, messages: Sequence[Message], pictures: Sequence[Sequence[int]]) -> str:
        """The prompt up to where the assistant speaks.

        `pictures` are, for each message, the numbers of picture tokens of its images. Whatever the
        messages say, no control token comes from them. A last message of the assistant's is the
        beginning of what it says.
        """
        *before, last = messages
        begun = prompts.clean(last.text) if last.role == "assistant" else ""
        if begun:
            messages, pictures = before, pictures[:-1]
        turns = [
            {"role": message.role, "content": _content_with(message, counts)}
            for message, counts in zip(messages, pictures, strict=True)
        ]
        try:
            asked = self._template.render(
                messages=turns, add_generation_prompt=True, **self._tokens
            )
        except jinja2.TemplateError as error:
            raise ModelError(f"{self.folder}: the chat template fails: {error}") from error
        return asked + begun


class Fast:
    """A tokenizer.json, read by `tokenizers`."""

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the Rust side raises bare Exception
            raise ModelError(f"{folder / 'tokenizer.json'} is unreadable: {error}") from error

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def stream(self) -> Decoding:
        return _FastDecoding(self._tokenizer)


class _FastDecoding:
    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer, self._stream = tokenizer, DecodeStream(skip_special_tokens=True)

    def push(self, token: int) -> str:
        return self._stream.step(self._tokenizer, token) or ""


class Graph:
    """openvino_tokenizer.xml and openvino_detokenizer.xml, run by openvino_tokenizers."""

    def __init__(self, folder: Path) -> None:
        import openvino
        import openvino_tokenizers  # registers its operations

        core = openvino.Core()
        core.add_extension(str(openvino_tokenizers._ext_path))
        self._there = core.compile_model(folder / "openvino_tokenizer.xml", "CPU")
        self._back = core.compile_model(folder / "openvino_detokenizer.xml", "CPU")
        #: What the graph puts before every text; a chat template has written its own.
        empty = self._ids("")
        self._before = empty if self._ids("a")[: len(empty)] == empty else []

    def _ids(self, text: str) -> list[int]:
        return [int(i) for i in self._there([text])["input_ids"][0]]

    def encode(self, text: str) -> list[int]:
        return self._ids(text)[len(self._before) :]

    def decode(self, ids: Sequence[int]) -> str:
        if not ids:
            return ""
        return str(self._back(np.array([ids], np.int64))[0][0])

    def stream(self) -> Decoding:
        return Catching(self)


class Catching:
    """Decodes what has not been written yet, behind a few ids that were."""

    def __init__(self, tokenizer: "Decoder") -> None:
        self._tokenizer, self._ids = tokenizer, list[int]()
        self._kept = self._done = 0

    def push(self, token: int) -> str:
        self._ids.append(token)
        before = self._tokenizer.decode(self._ids[self._kept : self._done])
        now = self._tokenizer.decode(self._ids[self._kept :])
        if now.endswith("�") or len(now) <= len(before):
            return ""
        self._kept, self._done = self._done, len(self._ids)
        return now[len(before) :]


def tokenizer(folder: Path) -> Tokenizer:
    """The folder's tokenizer, whichever kind it has.

    Raises:
        ModelError: it has none.
    """
    if (folder / "tokenizer.json").is_file():
        return Fast(folder)
    if (folder / "openvino_tokenizer.xml").is_file():
        return Graph(folder)
    raise ModelError(f"{folder} holds neither tokenizer.json nor openvino_tokenizer.xml")


def _content_with(message: Message, counts: Sequence[int]) -> str:
    """The message's pictures, as InternVL2 was trained to see them, then its words."""
    said = message.text if message.role == "system" else prompts.clean(message.text)
    shown = [f"{OPEN}{CONTEXT * count}{CLOSE}\n" for count in counts]
    if len(shown) > 1:
        shown = [f"Image-{i}: {picture}" for i, picture in enumerate(shown, 1)]
    return "".join(shown) + said


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def read(path: Path) -> dict[str, Any]:
    """A JSON object, {} where there is no such file.

    Raises:
        ModelError: it is no JSON object.
    """
    try:
        loaded = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        if not isinstance(loaded, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is unreadable: {error}") from error
    return loaded


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)
