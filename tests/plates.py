"""Ten pictures painted by code and sixty captions in six scripts, for memes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from foodcritic.dishes import Lang

Colour = tuple[int, int, int]

CAPTIONS: Final[dict[str, tuple[tuple[Lang, str], ...]]] = {
    "Latin": (
        ("en", "an apple a day, technically"),
        ("en", "my favourite fruit comes with a lid"),
        ("en", "Diet starts tomorrow. Tomorrow never starts."),
        ("en", "I came for one photo — I stayed for dessert"),
        ("en", "when the waiter says “the usual?” and you are not even ashamed any more"),
        ("en", "Crème brûlée: because fire makes everything better"),
        ("en", "Donaudampfschifffahrtsgesellschaftskapitänsfrühstück"),
        ("en", "Phở không có rau thơm thì còn gì là phở nữa?"),
        ("en", "yum"),
        ("en", "calories: 0\n(if nobody sees you)"),
    ),
    "zh": (
        ("zh", "我和减肥之间，只差这块派"),
        ("zh", "一天一苹果，派也算数"),
        ("zh", "老板，多放香菜"),
        ("zh", "成年人的崩溃，从外卖少了一双筷子开始"),
        ("zh", "吃饱了才有力气减肥"),
        ("zh", "这碗面见过我凌晨三点的样子，却从来没有告诉过任何人，它只是安静地热着"),
        ("zh", "“再吃一口就不吃了”——我说过3次"),
        ("zh", "饿"),
        ("zh", "麻辣香鍋：今天誰都別攔我！"),
        ("zh", "AA制可以，最后一块归我"),
    ),
    "ja": (
        ("en", "ダイエットは明日から、今日はラーメン！"),
        ("en", "替え玉、お願いします。"),
        ("en", "このケーキは野菜です（にんじん入り）"),
        ("en", "「もう食べられない」と言ってからが本番"),
        ("en", "いただきます"),
        ("en", "おいしいものはだいたい茶色い"),
        ("en", "スマートフォンより先に、まず写真じゃなくて箸を持て"),
        ("en", "カロリーゼロ理論：揚げたら飛ぶ"),
        ("en", "寿司は別腹。ケーキも別腹。結局、別腹だらけ"),
        ("en", "しょっぱいっ！"),
    ),
    "ko": (
        ("en", "오늘만 먹고 내일부터 다이어트"),
        ("en", "치킨은 살 안 쪄요, 살은 내가 쪄요"),
        ("en", "한 입만 달라던 사람 어디 갔어?"),
        ("en", "배달 왔습니다!"),
        ("en", "맛있으면 0칼로리"),
        ("en", "라면 먹고 갈래?"),
        ("en", "떡볶이는 국민 간식이니까 국민으로서 의무를 다하는 중"),
        ("en", "김치 없이는 못 살아"),
        ("en", "밥"),
        ("en", "이 사진을 찍느라 면이 다 불었다…"),
    ),
    "emoji": (
        ("en", "me vs. the last slice 🍕🥊"),
        ("zh", "减肥？😂😂😂不存在的"),
        ("en", "🍜🍣🍰☕️"),
        ("en", "family dinner 👨‍👩‍👧‍👦 but who pays 🧾"),
        ("zh", "这一口下去❤️‍🔥，值了👍🏽"),
        ("en", "ラーメン🍜 > everything"),
        ("en", "1️⃣ salad 🥗 then 9️⃣ donuts 🍩"),
        ("en", "🇮🇹 mamma mia 🤌🏼"),
        ("en", "오늘의 메뉴 🌶️🔥🥵"),
        ("en", "newest emoji 🫨🫠🧑‍🍳"),
    ),
    "Arabic and Cyrillic": (
        ("en", "الحمية تبدأ غداً، واليوم كنافة"),
        ("en", "لا تصور الأكل 📸 كُلْ!"),
        ("en", "طلبت 3 أطباق (لنفسي فقط)"),
        ("en", "أنا و pizza قصة حب"),
        ("en", "السعادة صحن حمص"),
        ("en", "Суп сегодня, диета завтра"),
        ("en", "Борщ без сметаны? Не в мою смену!"),
        ("en", "Їжак теж хоче вареників"),
        ("en", "Я не голодный, я просто дегустирую уже четвёртый час"),
        ("en", "Ещё кусочек"),
    ),
}
#: All of them: script, language of the request, caption.
ALL: Final = [(script, lang, said) for script, some in CAPTIONS.items() for lang, said in some]


def _dish(
    width: int, height: int, table: Colour, plate: Colour, food: Colour, seed: int
) -> Image.Image:
    """A plate on a table, seen from above, with something on it."""
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 5, (height // 8 + 1, 1, 1)).repeat(8, 0)[:height]
    ground = np.clip(np.array(table, float) + grain + np.zeros((1, width, 1)), 0, 255)
    image = Image.fromarray(ground.astype(np.uint8))
    x, y, r = width * 0.5, height * 0.54, 0.38 * min(width, height)
    shade = Image.new("L", image.size)
    ImageDraw.Draw(shade).ellipse((x - r, y - r * 0.9, x + r * 1.05, y + r * 1.12), fill=120)
    image.paste((0, 0, 0), mask=shade.filter(ImageFilter.GaussianBlur(r * 0.08)))
    pen = ImageDraw.Draw(image)
    for share, tint in ((1.0, 1.0), (0.97, 0.93), (0.8, 0.86), (0.78, 0.97)):
        colour = tuple(round(c * tint) for c in plate)
        pen.ellipse((x - r * share, y - r * share, x + r * share, y + r * share), fill=colour)
    for _ in range(260):
        angle, far = rng.uniform(0, 6.283), r * 0.66 * rng.uniform() ** 0.5
        size = r * rng.uniform(0.04, 0.14)
        fx, fy = x + far * np.cos(angle), y + far * np.sin(angle)
        colour = tuple(int(np.clip(c * rng.uniform(0.65, 1.25), 0, 255)) for c in food)
        pen.ellipse((fx - size, fy - size * 0.7, fx + size, fy + size * 0.7), fill=colour)
    return image.filter(ImageFilter.GaussianBlur(1.2))


def _noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def _squares(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray((((x // 16 + y // 16) % 2) * 255).astype(np.uint8)).convert("RGB")


PICTURES: Final[dict[str, Callable[[], Image.Image]]] = {
    "noodles": lambda: _dish(1280, 960, (104, 72, 48), (240, 236, 228), (214, 160, 70), 1),
    "salad": lambda: _dish(960, 1280, (214, 205, 190), (250, 250, 248), (96, 150, 60), 2),
    "stew": lambda: _dish(1280, 853, (60, 66, 72), (52, 84, 110), (150, 62, 34), 3),
    "dessert": lambda: _dish(1080, 1080, (232, 190, 196), (255, 255, 255), (120, 66, 40), 4),
    "soup": lambda: _dish(1600, 900, (36, 34, 40), (190, 60, 44), (236, 186, 96), 5),
    "rice": lambda: _dish(800, 600, (240, 240, 238), (252, 252, 252), (244, 238, 220), 6),
    "tiny": lambda: _dish(96, 64, (90, 110, 70), (235, 230, 220), (190, 110, 40), 7),
    "wide": lambda: _dish(2000, 500, (90, 110, 70), (235, 230, 220), (190, 110, 40), 8),
    "noise": lambda: _noise(640, 480),
    "squares": lambda: _squares(1280, 960),
}
