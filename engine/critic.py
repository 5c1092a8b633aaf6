"""The critic: what the product asks an engine, from a photo and a question to a `Critique`.

```
 photo ─▶ naming pass ─▶ candidates ─▶ Hint ─▶ critique | question | choice | meme ─▶ text
          (skipped without likelihoods,        code decides doubt, by a threshold that was
           in follow-ups and without photos)   measured, and writes the first line up to the
                                               score; the model goes on from there
```

An engine that sees one photo a question is asked about several one after the other; the answers are
joined (`engine.albums` says which of them a follow-up is about). History that does not fit the
context, or is longer than the model learnt to follow, is dropped (`foodcritic.dialogue.trim`).
"""

import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

from engine import Engine, Generation, Message, Picture, again, albums, claims, lost
from foodcritic import critique, dialogue, dishes, prompts
from foodcritic.critique import Candidate, Critique
from foodcritic.dialogue import Turn
from foodcritic.dishes import Lang
from foodcritic.prompts import Hint

#: Tokens that a chat template and a picture's marks put around a prompt, generously.
AROUND = 64

#: What a model may write that nobody sees, a terminal obeys, or PostgreSQL refuses: control
#: characters but newline and tab, and halves of surrogate pairs.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

Kind = Literal["critique", "question", "choice", "meme"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asks."""

    kind: Kind = "critique"
    lang: Lang = "en"
    question: str = ""
    photos: tuple[Picture, ...] = ()
    #: What was said before about the same photos, oldest first.
    history: tuple[Turn, ...] = ()
    #: What a person called a photo that looks like this one.
    evidence: str | None = None
    #: Of a choice; none: the photos are the options.
    options: tuple[str, ...] = ()
    tone: prompts.Tone = "frank"
    style: prompts.MemeStyle = "top_bottom"


@dataclass(slots=True, kw_only=True)
class Answer:
    """An answer while it is written, and what is known of it afterwards."""

    engine: Engine
    request: Request
    generation: Generation
    #: What an earlier attempt had written: an engine that can goes on from there.
    kept: str = ""
    #: What has been written so far.
    text: str = ""
    #: What the naming pass found in the first photo, likeliest first.
    candidates: tuple[Candidate, ...] = ()
    #: From the request to the first piece of text; None before it.
    seconds_to_first_token: float | None = None
    #: From the first piece of text to the last.
    seconds_writing: float = 0.0
    _first: str = field(default="", repr=False)
    #: Of the text, what was given to the model rather than written by it.
    _given: str = field(default="", repr=False)

    @property
    def critique(self) -> Critique:
        """The answer (about the first photo, if it is about several) read into fields."""
        return replace(critique.parse(self._first, self.candidates), text=self.text)

    @property
    def tokens_per_second(self) -> float | None:
        """How fast it was written; None where the engine cannot tell, or wrote too little."""
        tokens, given = self.engine.count(self.text), self.engine.count(self._given)
        if tokens is None or given is None or self.seconds_writing <= 0:
            return None
        return max(tokens - given, 0) / self.seconds_writing

    async def write(self) -> AsyncGenerator[str, None]:
        """The text, piece by piece; closing the generator stops the engine.

        Raises:
            EngineError: the engine failed, or cannot see what it is asked to compare.
            PhotoError: a photo cannot be read.
        """
        started = time.monotonic()
        parts = albums.seen_by(self.engine, self.request)
        following = [heading for heading, _ in parts[1:]] + [""]
        for number, (heading, shown) in enumerate(parts, 1):
            if heading:
                self.text += heading
                self._given += heading
                yield heading
            hint = await look(self.engine, shown)
            if number == 1:
                self.candidates = hint.candidates
            messages = conversation(self.engine, shown, hint, self.generation)
            written = self._about(shown, hint, messages, following[number - 1])
            async with aclosing(written) as pieces:
                async for piece in pieces:
                    self._add(piece, number, started)
                    yield piece

    async def _about(
        self, shown: Request, hint: Hint, messages: list[Message], following: str
    ) -> AsyncGenerator[str, None]:
        """The text about one group of photos; code says whose word it goes by, if anybody's."""
        begun = opening(shown, hint) if self.engine.continues else ""
        if begun:
            self._given += begun
            yield begun
        source = claims.source(shown, hint)
        if source and begun and shown.kind == "critique":
            # The model writes the first line's score; then code says the source, so that the name
            # in it is right; and the model goes on from there.
            async with aclosing(self._going_on(messages, begun, "\n")) as pieces:
                async for piece in pieces:
                    line, end, _ = piece.partition("\n")
                    begun += line
                    yield line
                    if end:
                        break
            begun += f"\n\n{source}"
            self._given += f"\n\n{source}"
            yield f"\n\n{source}"
        written, writing = "", self._going_on(messages, begun, following)
        if dish := lost.about(shown, hint):
            writing = lost.guarded(writing, shown, dish)
        async with aclosing(writing) as pieces:
            async for piece in pieces:
                written += piece
                yield piece
        if source and not begun and not claims.sourced(written):
            self._given += f"\n\n{source}"
            yield f"\n\n{source}"

    async def _going_on(
        self, messages: list[Message], begun: str, following: str
    ) -> AsyncGenerator[str, None]:
        """The text up to what is `following`: what was kept of it, then the engine's."""
        kept, ended = again.behind(self.kept, self.text, following)
        kept = kept if ended or self.engine.continues else ""
        self._given += kept
        if kept:
            yield kept
        if ended:
            return
        start = [Message(role="assistant", text=begun + kept)] if begun or kept else []
        left = self.generation.max_new_tokens - (_count(self.engine, kept) if kept else 0)
        rest = replace(self.generation, max_new_tokens=max(1, left))
        async with aclosing(self.engine.stream([*messages, *start], rest)) as pieces:
            async for piece in pieces:
                if shown := _UNSEEN.sub("", piece):
                    yield shown

    def _add(self, piece: str, number: int, started: float) -> None:
        seconds = time.monotonic() - started
        if self.seconds_to_first_token is None:
            self.seconds_to_first_token = seconds
        self.seconds_writing = seconds - self.seconds_to_first_token
        self.text += piece
        if number == 1:
            self._first += piece


def answer(
    engine: Engine, request: Request, generation: Generation | None = None, *, kept: str = ""
) -> Answer:
    """The answer to a request, not yet begun: iterate over its `write()`.

    `kept` is what an earlier attempt had written of it (`engine.again`). A question wants facts,
    not another way to put them: it gets half the temperature.
    """
    generation = generation or Generation()
    if request.kind == "question":
        generation = replace(generation, temperature=generation.temperature / 2)
    return Answer(engine=engine, request=request, generation=generation, kept=kept)


async def look(engine: Engine, request: Request) -> Hint:
    """The naming pass: what the photo shows, and whether that is doubtful.

    A follow-up has the name in its history, and a photo-less question none to look for. That there
    was no dish is said again: a small model would soon see one.
    """
    first = request.history[0].answer if request.history else ""
    if first.startswith(critique.NO_DISH[request.lang]) and not request.evidence:
        return Hint(no_dish=True)
    if not request.photos or request.history:
        return Hint(evidence=request.evidence)
    asked = Message(role="user", text=prompts.naming(request.lang), images=request.photos)
    return judge(await engine.candidates([asked]), engine.unsure_below, evidence=request.evidence)


def judge(
    named: Sequence[tuple[str, float]], unsure_below: float, *, evidence: str | None = None
) -> Hint:
    """The hint that candidates make; names of the same dish count together."""
    odds: dict[str, tuple[str, float]] = {}
    for name, probability in named:
        dish = dishes.find(name)
        key = dish.key if dish else name.casefold()
        first, so_far = odds.get(key, (name, 0.0))
        odds[key] = first, so_far + probability
    ranked = sorted(odds.values(), key=lambda pair: -pair[1])
    doubtful = bool(ranked) and ranked[0][1] < unsure_below
    return prompts.hint(ranked, unsure=doubtful, evidence=evidence)


def opening(request: Request, hint: Hint) -> str:
    """How a critique begins when the naming pass has settled what it is about, '' when not.

    The model goes on from there with the score, so that what the first line says is what was found.
    An answer to a question begins with whose word it goes by, or takes the person's at once.
    """
    if request.kind == "question":
        name = claims.claimed(request.lang, request.question) if request.history else ""
        return claims.thanks(request.lang, name) if name else claims.source(request, hint)
    if request.kind != "critique":
        return ""
    if hint.no_dish and not hint.evidence:
        return critique.begin(request.lang, (), cuisine=None)
    candidates = hint.candidates if hint.unsure else hint.candidates[:1]
    if hint.evidence:
        candidates = hint.settled().candidates
    if not candidates:
        return ""
    known = dishes.find(candidates[0].name(request.lang))
    return critique.begin(
        request.lang,
        candidates,
        cuisine=known.text("cuisine", request.lang) if known else None,
        unsure=hint.unsure and not hint.evidence,
    )


def conversation(
    engine: Engine, request: Request, hint: Hint, generation: Generation
) -> list[Message]:
    """The messages: what was said before, as far as it fits, then the question with the hint."""
    question = prompt(request, hint)
    reserve = min(generation.max_new_tokens, engine.context // 4)
    room = engine.context - reserve - AROUND - _count(engine, question)
    if request.photos:
        room -= engine.photo_tokens(len(request.photos))
    first, understood = request.history[:1], request.history[1:]
    asked = [
        replace(turn, question=earlier(request.lang, turn.question))
        for turn in (*first, *(turn for turn in understood if not lost.is_instead(turn.answer)))
    ]
    turns: Sequence[Turn] = ()
    if room > 0:
        turns = dialogue.trim(asked, room, lambda text: _count(engine, text), most=engine.turns)
    messages = []
    for turn in turns:
        messages.append(Message(role="user", text=turn.question))
        messages.append(Message(role="assistant", text=turn.answer))
    messages.append(Message(role="user", text=question))
    # The photos stand where the conversation about them begins.
    messages[0] = replace(messages[0], images=request.photos)
    return messages


def prompt(request: Request, hint: Hint) -> str:
    """What the model is asked, in words."""
    match request.kind:
        case "critique":
            return prompts.critique(request.lang, hint, tone=request.tone)
        case "question":
            return prompts.question(request.lang, request.question, hint)
        case "choice":
            return prompts.choice(request.lang, request.question, request.options, hint)
        case "meme":
            return prompts.meme(request.lang, request.style, hint)


def earlier(lang: Lang, question: str) -> str:
    """The prompt of an earlier turn; one without words asked for a critique."""
    return prompts.question(lang, question) if question.strip() else prompts.critique(lang)


def _count(engine: Engine, text: str) -> int:
    tokens = engine.count(text)
    return dialogue.estimate(text) if tokens is None else tokens
