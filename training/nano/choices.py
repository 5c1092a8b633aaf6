"""Multiple choice about a dish, laid out as FoodieQA does, with the answer's letter first."""

from __future__ import annotations

import random
from collections.abc import Sequence

from foodcritic import dishes
from foodcritic.dishes import Dish, Lang
from training.nano import answers
from training.nano.answers import Subject
from training.nano.topics import CHOICES

# Wrong answers about cuisine, as FoodieQA words them.
_CUISINES: dict[Lang, tuple[str, ...]] = {
    "zh": (
        "川菜",
        "粤菜",
        "鲁菜",
        "苏菜",
        "浙菜",
        "闽菜",
        "湘菜",
        "徽菜",
        "东北菜",
        "新疆菜",
        "云南菜",
        "贵州菜",
    ),
    "en": (
        "Sichuan",
        "Cantonese",
        "Shandong",
        "Jiangsu",
        "Zhejiang",
        "Fujian",
        "Hunan",
        "Anhui",
        "Northeastern Chinese",
        "Xinjiang",
        "Yunnan",
        "Guizhou",
    ),
}


def multiple_choice(
    subject: Subject, lang: Lang, rng: random.Random, *, pictured: bool = True
) -> tuple[str, tuple[str, ...], str]:
    """A question, its four options and the answer; about the dish by name when not `pictured`."""
    dish = subject.dish
    if dish is None:
        return _guess(subject, lang, rng)
    kind = rng.choices(list(CHOICES), [topic.weight for topic in CHOICES.values()])[0]
    if kind == "name" and not pictured:
        kind = "cuisine"
    asked = rng.choice(CHOICES[kind].asked[lang])
    slots = answers.facts(dish, lang, rng)
    if not pictured:
        asked = f"{slots['name']}：{asked}" if lang == "zh" else f"{slots['name']}: {asked}"
        for pointing in ("图片中的食物", "图片中食物", "图中的菜", "这道菜"):
            asked = asked.replace(pointing, "它")
        asked = asked.replace(" in the picture", "")
    right, wrong = _options(dish, kind, asked, lang, rng)
    letters = rng.sample(range(4), 4)
    options = [""] * 4
    for place, option in zip(letters, (right, *wrong), strict=True):
        options[place] = option
    reason = answers.say(CHOICES[kind].answered, lang, slots, rng)
    return asked, tuple(options), f"({'ABCD'[letters[0]]}) {reason}"


def _options(
    dish: Dish, kind: str, asked: str, lang: Lang, rng: random.Random
) -> tuple[str, tuple[str, str, str]]:
    """The right option and three wrong ones."""
    everyone = rng.sample(list(dishes.DISHES.values()), len(dishes.DISHES))
    own = dish.items("ingredients", lang)
    if kind == "ingredient":
        right = own[0] if "主要" in asked or "main" in asked else rng.choice(own)
        pool = [other.items("ingredients", lang)[0] for other in everyone]
        wrong = [item for item in pool if not _alike(item, own, lang)]
    elif kind == "not_ingredient":
        foreign = [other.items("ingredients", lang)[0] for other in everyone]
        right = next(item for item in foreign if not _alike(item, own, lang))
        wrong = rng.sample(own, 3)
    else:
        right = dish.text(kind, lang)
        wrong = [other.text(kind, lang) for other in everyone]
        if kind == "cuisine" and dish.cuisine_en != "Chinese" and rng.random() < 0.4:
            wrong = rng.sample(_CUISINES[lang], len(_CUISINES[lang]))
    distinct = [option for option in dict.fromkeys(wrong) if option != right][:3]
    return right, (distinct[0], distinct[1], distinct[2])


def _alike(item: str, own: Sequence[str], lang: Lang) -> bool:
    """Whether an ingredient may be one of a dish's own: they share a word or a character."""
    if lang == "en":
        words = {word.rstrip("s") for mine in own for word in mine.split()}
        return any(word.rstrip("s") in words for word in item.split())
    return any(char in mine for mine in own for char in item)


def _guess(subject: Subject, lang: Lang, rng: random.Random) -> tuple[str, tuple[str, ...], str]:
    """A question that nano cannot know the answer of: it says so, after a letter."""
    asked = rng.choice(CHOICES[rng.choice(("cuisine", "taste", "region"))].asked[lang])
    options = tuple(rng.sample(_CUISINES[lang], 4))
    letter = rng.choice("ABCD")
    if lang == "zh":
        return asked, options, f"({letter}) 我不确定，凭直觉选它。"
    return asked, options, f"({letter}) I am not sure: this is a guess."
