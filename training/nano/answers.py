"""What nano should answer: a subject (what the photo shows, and how sure we are) and its texts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from foodcritic import critique, dishes
from foodcritic.critique import Candidate
from foodcritic.dishes import Dish, Lang
from foodcritic.prompts import Hint, MemeStyle, Tone
from training.nano import phrases
from training.nano.phrases import Phrases
from training.nano.topics import TOPICS

Slots = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an answer is about. No dish and no stranger: there is nothing to eat in the photo."""

    dish: Dish | None = None
    #: A dish that is not in our table, known only by the name a person gave.
    stranger: str | None = None
    #: The other dishes it may be, likeliest first; when there are any, the answer is unsure.
    others: tuple[Dish, ...] = ()
    #: What the prompt says about the photo.
    hint: Hint | None = None
    #: "dark", "bright", "dull", "vivid" or None.
    light: str | None = None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        if self.stranger is not None:
            return (named(self.stranger),)
        return tuple(of(dish) for dish in (self.dish, *self.others) if dish is not None)

    def name(self, lang: Lang) -> str:
        return self.candidates[0].name(lang)


def of(dish: Dish) -> Candidate:
    return Candidate(name_zh=dish.name_zh, name_en=dish.name_en)


def named(name: str) -> Candidate:
    return Candidate(name_en=name) if name.isascii() else Candidate(name_zh=name)


def facts(dish: Dish, lang: Lang, rng: random.Random) -> Slots:
    """A dish's facts by slot name; lists of opinions in random order."""
    praise = rng.sample(dish.items("praise", lang), 2)
    fault = rng.sample(dish.items("fault", lang), 2)
    first, second, third = dish.items("ingredients", lang)[:3]
    slots = {
        field: dish.text(field, lang)
        for field in [
            "name",
            "cuisine",
            "region",
            "taste",
            "texture",
            "served",
            "looks",
            "where",
            "serving",
            "tip",
            "pairs",
            "ingredients",
            "allergens",
        ]
    }
    return slots | {
        "calories": str(dish.calories),
        "p1": praise[0],
        "p2": praise[1],
        "f1": fault[0],
        "f2": fault[1],
        "i1": first,
        "i2": second,
        "i3": third,
        "allergen": rng.choice(dish.items("allergens", lang)),
        "joke": rng.choice(dish.items("jokes", lang)),
        "is": "are" if _plural(dish.name_en) else "is",
    }


def review(subject: Subject, lang: Lang, tone: Tone, rng: random.Random) -> str:
    """A whole critique in the product's format."""
    if not subject.candidates:
        body = rng.choice(phrases.NO_DISH[lang])
        return critique.render(lang, (), body, cuisine=None, score=None)
    score = _score(subject, tone)
    if subject.dish is None:
        return critique.render(
            lang, subject.candidates, _strange(subject, lang, rng), cuisine=None, score=score
        )
    slots = facts(subject.dish, lang, rng)
    doubt = _doubt(subject, lang, rng)
    light = _pick(phrases.LIGHT[subject.light], lang, rng) if subject.light else ""
    look = say(phrases.LOOKS, lang, slots, rng)
    taste = say(phrases.TASTE, lang, slots, rng)
    merit = say(phrases.PRAISE, lang, slots, rng)
    fault = say(phrases.FAULT[tone], lang, slots, rng)
    advice = say(rng.choice((phrases.ADVICE, phrases.ADVICE, phrases.PAIRING)), lang, slots, rng)
    numbers = say(phrases.NUMBERS, lang, slots, rng)
    verdict = _pick(next(v for s, v in phrases.VERDICT.items() if score >= s), lang, rng)
    # Doubt and light take room: the rest gives way, so that an answer stays near 200 tokens.
    if doubt:
        light = ""
    if doubt or light or rng.random() < 0.4:
        verdict = ""
    if len(subject.others) > 1 or (light and rng.random() < 0.5):
        advice = ""
    opinion = [merit, fault] if rng.random() < 0.8 else [fault, merit]
    paragraphs = [
        _run((doubt,), lang),
        _run((light, look, taste), lang),
        _run((*opinion, verdict), lang),
        _run((advice, numbers), lang),
    ]
    return critique.render(
        lang,
        subject.candidates,
        "\n\n".join(p for p in paragraphs if p),
        cuisine=slots["cuisine"],
        score=score,
        unsure=bool(subject.others),
    )


def reply(subject: Subject, topic: str, lang: Lang, rng: random.Random) -> tuple[str, str]:
    """A question on a topic, and its answer."""
    dish = subject.dish
    slots = facts(dish, lang, rng) if dish else {"allergen": "花生" if lang == "zh" else "peanut"}
    asked = _vary(say(TOPICS[topic].asked, lang, slots, rng), subject, lang, rng)
    if not subject.candidates:
        return asked, rng.choice(phrases.NO_DISH[lang])
    if dish is None:
        return asked, _strange(subject, lang, rng).replace("\n\n", " " if lang == "en" else "")
    answer = _capital(say(TOPICS[topic].answered, lang, slots, rng))
    return asked, _run((_doubt(subject, lang, rng), answer), lang)


def captions(subject: Subject, style: MemeStyle, lang: Lang, rng: random.Random) -> str:
    """Three captions, one a line."""
    if not subject.candidates:
        return "\n".join(rng.sample(phrases.CAPTIONS_NO_DISH[lang], 3))
    name = subject.name(lang)
    general = [text.format(name=name) for text in phrases.CAPTIONS[style][lang]]
    own = list(subject.dish.items("jokes", lang)) if subject.dish else []
    count = rng.choice((1, 2, 3) if style == "top_bottom" else (0, 1))
    lines = rng.sample(own, min(count, len(own)))
    lines += rng.sample(general, 3 - len(lines))
    rng.shuffle(lines)
    return "\n".join(_capital(line) for line in lines)


def sideways(subject: Subject, lang: Lang, rng: random.Random) -> tuple[str, str]:
    """A greeting or something that is not about food, and the way back to the table."""
    greeted = rng.random() < 0.25
    asked = rng.choice((phrases.HELLO if greeted else phrases.OFF_TOPIC)[lang])
    if not subject.candidates:
        return asked, _pick(phrases.GREETING_PLAIN if greeted else phrases.REFUSAL_PLAIN, lang, rng)
    known = {"name": subject.name(lang)}
    return asked, say(phrases.GREETING if greeted else phrases.REFUSAL, lang, known, rng)


def corrected(name: str, lang: Lang, rng: random.Random) -> tuple[str, str]:
    """A person says what the dish really is; the critic takes it."""
    dish = dishes.find(name)
    said = named(name) if dish is None else of(dish)
    shown = said.name(lang)
    if lang == "zh":
        asked = rng.choice(("不对，这是{}", "你认错了，是{}。", "这明明是{}啊", "其实是{}")).format(
            shown
        )
        thanks = rng.choice(("谢谢指正，那就是{}。", "原来是{}，我记下了。")).format(shown)
        more = f"它的味道：{dish.taste_zh}。" if dish else "下次我会认得更准。"
    else:
        asked = rng.choice(
            ("No, this is {}", "You are wrong, it is {}.", "actually it's {}", "That is {}!")
        ).format(shown)
        thanks = rng.choice(("Thank you, {} it is. ", "So it is {}, noted. ")).format(shown)
        more = f"The taste: {dish.taste_en}." if dish else "I will know it better next time."
    return asked, thanks + more


def _score(subject: Subject, tone: Tone) -> int:
    usual = subject.dish.score if subject.dish else 7
    shift = {"dark": -1, "dull": -1, "bright": 0, "vivid": 1}.get(subject.light or "", 0)
    return max(3, min(10, usual + shift + {"gentle": 1, "frank": 0, "savage": -2}[tone]))


def _strange(subject: Subject, lang: Lang, rng: random.Random) -> str:
    first, second = rng.sample(phrases.STRANGER_PRAISE[lang], 2)
    slots = {"p1": first, "p2": second, "f1": rng.choice(phrases.STRANGER_FAULT[lang])}
    return _run((_doubt(subject, lang, rng), say(phrases.STRANGER, lang, slots, rng)), lang)


def _doubt(subject: Subject, lang: Lang, rng: random.Random) -> str:
    """Why the answer is not simply certain: a person's word, or several likely dishes."""
    slots = {"name": subject.name(lang)}
    if subject.hint is not None and subject.hint.evidence:
        return say(phrases.EVIDENCE, lang, slots, rng)
    if not subject.others:
        return ""
    *head, last = [candidate.name(lang) for candidate in subject.candidates]
    before = ("、" if lang == "zh" else ", ").join(head)
    if lang == "zh":
        slots |= {"any": f"{before}或{last}", "whether": f"{before}还是{last}"}
        slots["each"] = f"{before}和{last}"
    else:
        slots |= {"whether": f"{before} or {last}", "each": f"{before} and {last}"}
    return say(phrases.UNSURE, lang, slots, rng)


def _vary(asked: str, subject: Subject, lang: Lang, rng: random.Random) -> str:
    """The same question as another person might type it."""
    # A name in the question must be the subject's: in doubt nobody asks by name.
    if subject.candidates and not subject.others and rng.random() < 0.25:
        for pointing in _POINTING[lang]:
            if pointing in asked:
                asked = asked.replace(pointing, subject.name(lang), 1)
                break
    if rng.random() < 0.3:
        asked = asked.rstrip("？。?.！!")
        asked += rng.choice(_ENDINGS[lang])
    if rng.random() < 0.2:
        first = rng.choice(_OPENINGS[lang])
        asked = first + (asked[:1].lower() + asked[1:] if first.endswith(", ") else asked)
    return asked.lower() if lang == "en" and rng.random() < 0.15 else asked


def _pick(choices: Phrases, lang: Lang, rng: random.Random) -> str:
    return rng.choice(choices[lang])


def say(choices: Phrases, lang: Lang, slots: Slots, rng: random.Random) -> str:
    return _pick(choices, lang, rng).format_map(slots)


def _run(sentences: Sequence[str], lang: Lang) -> str:
    """Sentences as running text: English wants spaces between them."""
    return ("" if lang == "zh" else " ").join(sentence for sentence in sentences if sentence)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _plural(name: str) -> bool:
    return name.endswith("s") and not name.lower().endswith(("ss", "us"))


_POINTING: dict[Lang, tuple[str, ...]] = {
    "zh": ("图片中的食物", "这道菜", "这个", "它"),
    "en": ("this dish",),
}
_OPENINGS: dict[Lang, tuple[str, ...]] = {
    "zh": ("请问", "请问一下，", "老师，", "我想知道", "那", "嗯，", "请告诉我，"),
    "en": ("Please, ", "Tell me, ", "So, ", "I wonder: ", "Quick question: ", "Hey, ", "OK. "),
}
_ENDINGS: dict[Lang, tuple[str, ...]] = {
    "zh": ("", "？", "呢？", "啊", "？谢谢", "？？", "呀？"),
    "en": ("", "?", "??", " please", "? Thanks", " then?"),
}
