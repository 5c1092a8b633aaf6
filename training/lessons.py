"""Lessons: what one correction or one thumb up teaches, as examples.

| said                | learnt                                                                   |
|---------------------|--------------------------------------------------------------------------|
| the right dish      | the naming prompt (in both languages where our table knows the dish)     |
| a better answer     | the prompt that was answered, the hint now naming the right dish         |
| a thumb up          | the prompt as it was asked, the answer as it was given                   |

The prompts are the product's own (`engine.critic.prompt`): what is learnt is what will be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from engine import critic
from engine.critic import Request
from engine.datasets import DatasetError
from foodcritic import critique, dishes, prompts
from foodcritic.columns import JobKind
from foodcritic.critique import Candidate
from foodcritic.dialogue import Turn
from foodcritic.dishes import Lang
from foodcritic.jobs import Job
from foodcritic.prompts import Hint
from training import examples
from training.examples import Example


class Unusable(Exception):
    """Why something a person said cannot be trained on; one of few reasons, they are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A job's question, ready to be answered anew."""

    job: Job
    #: Of the answer to learn.
    lang: Lang
    photo: str | None
    history: tuple[Turn, ...]


def of_correction(
    asked: Asked, number: int, named: str | None, better: str | None
) -> list[Example]:
    """What correction `number` teaches: a dish's name, a better answer, or both; or Unusable."""
    text = prompts.clean(better or "")
    dish = " ".join(prompts.clean(named or "").split()) or _named_in(text)
    if not (dish or text):
        raise Unusable("the correction says nothing")
    made: list[Example] = []
    if dish and asked.photo:
        made += [_naming(asked, number, dish, lang) for lang in _languages(asked.lang, dish)]
    if text:
        if asked.job.kind is JobKind.CRITIQUE:
            text = _with_header(asked, text, dish)
        hint = _hint_at(dish) if dish and _hint(asked.job) is not None else None
        made.append(
            _example(
                asked,
                source="corrections",
                origin=f"{number}-answer",
                turns=(*asked.history, Turn(question=_prompt(asked, hint), answer=text)),
                dish=None if prompts.is_no_dish(dish) else dish or None,
                rank=examples.CORRECTED,
                rejected=asked.job.answer,
            )
        )
    if not made:
        raise Unusable("a dish's name without a photo")
    return made


def of_vote(asked: Asked) -> Example:
    """The example of an answer that people liked; or Unusable."""
    answer, found = asked.job.answer or "", asked.job.critique or {}
    names = found.get("dish_zh"), found.get("dish_en")
    dish = next((name for name in (names if asked.lang == "zh" else names[::-1]) if name), None)
    turn = Turn(question=_prompt(asked, _hint(asked.job)), answer=answer)
    return _example(
        asked,
        source="votes",
        origin=str(asked.job.id),
        turns=(*asked.history, turn),
        dish=dish,
        rank=examples.LIKED,
    )


def _naming(asked: Asked, number: int, dish: str, lang: Lang) -> Example:
    found = asked.job.critique or {}
    nothing = prompts.NO_DISH_NAME[lang]
    ours = Candidate(name_zh=found.get("dish_zh"), name_en=found.get("dish_en")).name(lang)
    if not ours and (asked.job.answer or "").startswith(tuple(critique.NO_DISH.values())):
        ours = nothing
    right = nothing if prompts.is_no_dish(dish) else _candidate(dish).name(lang)
    wrong = ours if ours and examples.dish_key(ours) != examples.dish_key(right) else None
    turn = Turn(question=prompts.naming(lang), answer=right)
    return _example(
        asked,
        source="corrections",
        origin=f"{number}-naming-{lang}",
        kind="naming",
        lang=lang,
        turns=(turn,),
        dish=None if right == nothing else dish,
        rank=examples.CORRECTED,
        rejected=wrong,
    )


def _example(asked: Asked, **values: Any) -> Example:
    given = {"kind": asked.job.kind.value, "lang": asked.lang, "photo": asked.photo}
    try:
        return examples.example(**(given | values))
    except DatasetError as error:
        raise Unusable("an empty or endless text") from error


def _languages(lang: Lang, dish: str) -> list[Lang]:
    """Both where we know the dish; else the one it was asked in and the one it is named in."""
    if dishes.find(dish) or prompts.is_no_dish(dish):
        return ["zh", "en"]
    return list(dict.fromkeys((lang, cast(Lang, examples.language(dish)))))


def _candidate(dish: str) -> Candidate:
    if known := dishes.find(dish):
        return Candidate(name_zh=known.name_zh, name_en=known.name_en)
    in_zh = examples.language(dish) == "zh"
    return Candidate(name_zh=dish if in_zh else None, name_en=None if in_zh else dish)


def _named_in(text: str) -> str:
    """The dish that a better answer names in its first line, '' where it names none."""
    read = critique.parse(text)
    return (read.dish_zh or read.dish_en or "") if read.body != text.strip() else ""


def _with_header(asked: Asked, text: str, dish: str) -> str:
    """People write the body; a critique also has a first line."""
    if not dish or text.lstrip().startswith("**") or critique.parse(text).body != text.strip():
        return text
    if prompts.is_no_dish(dish):
        return critique.render(asked.lang, (), text, cuisine=None, score=None)
    known, found = dishes.find(dish), asked.job.critique or {}
    cuisine = known.text("cuisine", asked.lang) if known else None
    named = [_candidate(dish)]
    return critique.render(asked.lang, named, text, cuisine=cuisine, score=found.get("score"))


def _hint_at(dish: str) -> Hint:
    """What the naming pass will find once it has learnt this."""
    if prompts.is_no_dish(dish):
        return Hint(no_dish=True)
    return Hint(candidates=(_candidate(dish),))


def _hint(job: Job) -> Hint | None:
    """The hint the job was answered with; engines without likelihoods give none."""
    found = job.critique or {}
    likely = tuple(
        Candidate(**entry)
        for entry in found.get("candidates", ())
        if entry.get("probability") is not None
    )
    if not likely:
        return None
    evidence = job.params.get("evidence")
    return Hint(candidates=likely, unsure=bool(found.get("unsure")), evidence=evidence)


def _prompt(asked: Asked, hint: Hint | None) -> str:
    job, params = asked.job, asked.job.params
    tone, style = params.get("tone"), params.get("style")
    request = Request(
        kind=cast(critic.Kind, job.kind.value),
        lang=asked.lang,
        question=job.question,
        options=tuple(map(str, params.get("options", ()))),
        tone=tone if tone in prompts.TONES else "frank",
        style=style if style in prompts.MEME_STYLES else "top_bottom",
    )
    return critic.prompt(request, Hint() if asked.history or hint is None else hint)
