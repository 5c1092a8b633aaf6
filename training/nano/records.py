"""The LLaVA records of one photo: who asks what, with which hint, and the answer."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from foodcritic import dishes, prompts
from foodcritic.dishes import DISHES, Dish, Lang
from foodcritic.prompts import Hint
from training.nano import answers, choices
from training.nano.answers import Subject
from training.nano.strangers import stranger
from training.nano.topics import TOPICS

Record = dict[str, Any]
#: (dish key, probability), likeliest first.
Guesses = tuple[tuple[str, float], ...]

LANGS: tuple[Lang, Lang] = ("zh", "en")
#: Kinds of the records that are not naming, and how often.
KINDS = {
    "critique": 0.38,
    "critique_unaided": 0.08,
    "dialogue": 0.17,
    "question": 0.15,
    "choice": 0.11,
    "meme": 0.07,
    "sideways": 0.04,
}
#: Of the naming answers that a teacher's guesses are given for, the share that follows the guesses.
TEACHER_SHARE = 0.5
#: Of the hints, the share that names another dish than the photo's: at 0.2 the model learned to go
#: by the photo and to ignore the hint.
MISLED = 0.5
_TONES: tuple[prompts.Tone, ...] = ("frank",) * 6 + ("gentle", "gentle", "savage", "savage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photo to talk about."""

    id: str
    dish: Dish
    split: str
    #: An encoded image file.
    data: bytes
    #: What a teacher takes it for; () without a teacher.
    guesses: Guesses = ()


def of_photo(photo: Photo, shots: Sequence[tuple[str, str | None]], seed: int) -> list[Record]:
    """The records of one photo. `shots`: (image path, light) of each of its views."""
    rng = random.Random(f"{seed}:{photo.id}")
    made = []
    for lang in LANGS:
        name = photo.dish if photo.split == "val" else _seen(photo, rng, TEACHER_SHARE)
        told = prompts.naming(lang), name.text("name", lang)
        made.append(_record(rng.choice(shots)[0], [told]))
        if photo.guesses and photo.split != "val":
            made[-1]["soft"] = _soft(photo, lang)
    if photo.split == "val":
        subject = _subject(photo, shots[0][1], rng)
        made.append(_record(shots[0][0], _turns("critique", subject, rng.choice(LANGS), rng)))
        return made
    for kind in rng.choices(list(KINDS), list(KINDS.values()), k=2):
        path, light = rng.choice(shots)
        unaided = kind == "critique_unaided" or (kind != "critique" and rng.random() < 0.3)
        subject = _unaided(photo, light, rng) if unaided else _subject(photo, light, rng)
        turns = _turns(kind.removesuffix("_unaided"), subject, rng.choice(LANGS), rng)
        made.append(_record(path, turns))
    return made


def of_no_food(path: str, rng: random.Random) -> list[Record]:
    """The records of one drawn picture: there is no dish, whatever is asked."""
    made = [
        _record(path, [(prompts.naming(lang), prompts.NO_DISH_NAME[lang])])
        for lang in (*LANGS, rng.choice(LANGS))
    ]
    for kind in ("critique", rng.choice(("critique", "question", "meme", "sideways"))):
        hinted = Subject(hint=Hint(no_dish=True) if rng.random() < 0.6 else None)
        made.append(_record(path, _turns(kind, hinted, rng.choice(LANGS), rng)))
    return made


def of_text(rng: random.Random) -> list[Record]:
    """A record without a picture: textual multiple choice or small talk."""
    lang = rng.choice(LANGS)
    if rng.random() < 0.7:
        subject = Subject(dish=rng.choice(list(DISHES.values())))
        asked, options, answer = choices.multiple_choice(subject, lang, rng, pictured=False)
        answer = answer.replace("图中的菜是", "").replace("The dish is ", "")
        return [_record(None, [(prompts.choice(lang, asked, options), answer)])]
    asked, answer = answers.sideways(Subject(), lang, rng)
    return [_record(None, [(prompts.question(lang, asked), answer)])]


def _turns(kind: str, subject: Subject, lang: Lang, rng: random.Random) -> list[tuple[str, str]]:
    """(prompt, answer) pairs of one dialogue."""
    hint = subject.hint
    if kind == "critique":
        tone = rng.choice(_TONES)
        asked = prompts.critique(lang, hint, tone=tone)
        return [(asked, answers.review(subject, lang, tone, rng))]
    if kind == "question":
        asked, answer = answers.reply(subject, _topic(rng), lang, rng)
        return [(prompts.question(lang, asked, hint), answer)]
    if kind == "choice":
        asked, options, answer = choices.multiple_choice(subject, lang, rng)
        return [(prompts.choice(lang, asked, options, hint), answer)]
    if kind == "meme":
        style = rng.choice(prompts.MEME_STYLES)
        asked = prompts.meme(lang, style, hint)
        return [(asked, answers.captions(subject, style, lang, rng))]
    if kind == "sideways":
        asked, answer = answers.sideways(subject, lang, rng)
        return [(prompts.question(lang, asked, hint), answer)]
    first = _turns(rng.choice(("critique", "critique", "critique", "question")), subject, lang, rng)
    return first + list(_follow_ups(subject, lang, rng))


def _follow_ups(subject: Subject, lang: Lang, rng: random.Random) -> Iterator[tuple[str, str]]:
    """One to three further turns; without a hint the dish is in the history."""
    # What was doubted or told once is settled later: the answers go by the first name.
    settled = replace(subject, others=(), hint=None)
    for _ in range(rng.choice((1, 1, 2, 3))):
        roll = rng.random()
        if roll < 0.08:
            name = stranger(rng) if rng.random() < 0.4 else _any(rng).text("name", lang)
            asked, answer = answers.corrected(name, lang, rng)
            known = dishes.find(name)
            settled = replace(settled, dish=known, stranger=None if known else name)
        elif roll < 0.14:
            asked, answer = answers.sideways(settled, lang, rng)
        else:
            asked, answer = answers.reply(settled, _topic(rng), lang, rng)
        shown = None
        if settled.dish is not None and rng.random() < 0.4:
            shown = Hint(candidates=(answers.of(settled.dish),))
        yield prompts.question(lang, asked, shown), answer


def _subject(photo: Photo, light: str | None, rng: random.Random) -> Subject:
    """What a hinted answer is about, with the hint."""
    dish = photo.dish if rng.random() > MISLED else _lookalike(photo.dish, rng)
    roll = rng.random()
    if roll < 0.56:
        return Subject(dish=dish, hint=Hint(candidates=(answers.of(dish),)), light=light)
    if roll < 0.82:
        others = _others(photo, dish, rng)
        likely = tuple(answers.of(d) for d in (dish, *others))
        hint = Hint(candidates=likely, unsure=True)
        return Subject(dish=dish, others=others, hint=hint, light=light)
    if roll < 0.91:
        said = rng.choice((dish.name_zh, dish.name_en, *dish.aliases))
        return Subject(dish=dish, hint=Hint(evidence=said), light=light)
    if roll < 0.98:
        name = stranger(rng)
        return Subject(stranger=name, hint=Hint(evidence=name), light=light)
    return Subject(hint=Hint(no_dish=True), light=light)


def _unaided(photo: Photo, light: str | None, rng: random.Random) -> Subject:
    """What an answer without a hint is about; in doubt where the teacher is."""
    if photo.guesses and photo.guesses[0][1] < 0.4:
        likely = [DISHES[key] for key, _ in photo.guesses[:3]]
        return Subject(dish=likely[0], others=tuple(likely[1:]), light=light)
    return Subject(dish=photo.dish, light=light)


def _seen(photo: Photo, rng: random.Random, share: float) -> Dish:
    """The photo's dish, or for a share of the draws one that the teacher might see in it."""
    if not photo.guesses or rng.random() >= share:
        return photo.dish
    keys, weights = zip(*photo.guesses, strict=True)
    return DISHES[rng.choices(keys, weights)[0]]


def _soft(photo: Photo, lang: Lang) -> dict[str, float]:
    """What `_seen` draws from, as a distribution over names: a trainer that knows the key `soft`
    learns it whole instead of one draw."""
    total = sum(p for _, p in photo.guesses)
    shares = {photo.dish.key: 1 - TEACHER_SHARE}
    for key, p in photo.guesses:
        shares[key] = shares.get(key, 0.0) + TEACHER_SHARE * p / total
    return {DISHES[key].text("name", lang): round(p, 4) for key, p in shares.items()}


def _others(photo: Photo, dish: Dish, rng: random.Random) -> tuple[Dish, ...]:
    likely = [DISHES[key] for key, _ in photo.guesses if key != dish.key]
    count = rng.choice((1, 2, 2))
    while len(likely) < count:
        other = _lookalike(dish, rng)
        if other not in likely:
            likely.append(other)
    return tuple(likely[:count])


def _lookalike(dish: Dish, rng: random.Random) -> Dish:
    """Another dish, more often than not of the same cuisine."""
    kin = [d for d in DISHES.values() if d.cuisine_en == dish.cuisine_en and d.key != dish.key]
    if kin and rng.random() < 0.5:
        return rng.choice(kin)
    return rng.choice([d for d in DISHES.values() if d.key != dish.key])


def _any(rng: random.Random) -> Dish:
    return rng.choice(list(DISHES.values()))


def _topic(rng: random.Random) -> str:
    return rng.choices(list(TOPICS), [topic.weight for topic in TOPICS.values()])[0]


def _record(path: str | None, turns: Iterable[tuple[str, str]]) -> Record:
    conversations: list[dict[str, str]] = []
    for prompt, answer in turns:
        # XTuner wants the picture's place in the first question only.
        marked = f"<image>\n{prompt}" if path is not None and not conversations else prompt
        conversations.append({"from": "human", "value": marked})
        conversations.append({"from": "gpt", "value": answer})
    record: Record = {"id": "", "conversations": conversations}
    if path is not None:
        record["image"] = path
    return record
