"""What people ask about a dish, how nano answers, and the multiple-choice form of the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from training.nano.phrases import Phrases


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One thing to ask. `{name}` is the dish, other braces are its facts."""

    asked: Phrases
    answered: Phrases
    #: How often it is asked, relative to the others.
    weight: float = 1


TOPICS: Final[dict[str, Topic]] = {
    "what": Topic(
        weight=2,
        asked={
            "zh": ("这是什么？", "这是什么菜？", "图里是什么菜", "这个叫什么名字？", "这是啥"),
            "en": (
                "What is this?",
                "what dish is this",
                "What am I looking at?",
                "What is it called?",
                "Can you name this dish?",
            ),
        },
        answered={
            "zh": (
                "这是{name}，属于{cuisine}，主要用{i1}、{i2}和{i3}做成。",
                "{name}，一道{cuisine}，{looks}。",
            ),
            "en": (
                "This is {name}, {cuisine} food made with {i1}, {i2} and {i3}.",
                "{name}, {cuisine}: {looks}.",
            ),
        },
    ),
    "cuisine": Topic(
        weight=2,
        asked={
            "zh": (
                "这道菜是哪个菜系？",
                "图片中的食物属于哪个菜系？",
                "这道菜属于什么菜系",
                "算哪一派的菜",
                "是中餐还是西餐？",
                "菜系是什么？",
                "它是哪国菜？",
                "这是什么地方的菜系？",
            ),
            "en": (
                "Which cuisine is this?",
                "What cuisine does this dish belong to?",
                "Which country's food is it?",
                "Is it Italian or Japanese?",
                "name the cuisine",
                "What style of cooking is it?",
                "what kind of cuisine is that",
            ),
        },
        answered={
            "zh": (
                "{name}属于{cuisine}，常见于{region}。",
                "这是{cuisine}里的{name}。",
                "{cuisine}。{name}在{region}最有名。",
            ),
            "en": (
                "{name} {is} {cuisine} food; the home: {region}.",
                "The cuisine is {cuisine}: this is {name}.",
                "{cuisine}. The home of {name}: {region}.",
            ),
        },
    ),
    "flavour": Topic(
        weight=2,
        asked={
            "zh": (
                "这道菜是什么味道？",
                "它的口味怎么样？",
                "图片中的食物是什么滋味？",
                "吃起来什么味",
                "辣不辣？",
                "是甜的还是咸的？",
                "味道怎么样",
                "口味重不重？",
                "这道菜的口味特点是什么？",
                "好吃吗？",
            ),
            "en": (
                "What does it taste like?",
                "How does this dish taste?",
                "Describe the flavour",
                "Is it spicy?",
                "Is it sweet or salty?",
                "what flavours should I expect",
                "Is the taste strong?",
                "What is the flavour of this dish?",
                "Is it tasty?",
            ),
        },
        answered={
            "zh": ("{name}的味道：{taste}；口感上，{texture}。", "{taste}，这就是{name}。"),
            "en": (
                "The taste of {name}: {taste}. Texture: {texture}.",
                "The flavour of {name}: {taste}.",
            ),
        },
    ),
    "texture": Topic(
        asked={
            "zh": ("口感如何？", "吃起来口感怎么样", "它是脆的还是软的？"),
            "en": (
                "What is the texture like?",
                "Is it crunchy or soft?",
                "how does it feel to eat",
            ),
        },
        answered={
            "zh": ("{name}的口感：{texture}。",),
            "en": ("The texture of {name}: {texture}.",),
        },
    ),
    "region": Topic(
        weight=2,
        asked={
            "zh": (
                "这道菜是哪里的特色？",
                "是哪里的名菜？",
                "哪个城市的最有名",
                "产地在哪里？",
                "图片中的食物是哪个地区的特色？",
                "它起源于哪里？",
                "这道菜最早来自哪里",
            ),
            "en": (
                "Where does this dish come from?",
                "Which region is it known from?",
                "what is its origin",
                "Which city is famous for it?",
                "where was it invented",
                "Which area is this food a speciality of?",
            ),
        },
        answered={
            "zh": ("{name}的故乡：{region}。", "说到{name}，要数{region}。"),
            "en": ("{name}: {region}.", "The home of {name}: {region}."),
        },
    ),
    "presentation": Topic(
        weight=2,
        asked={
            "zh": (
                "这道菜的摆盘有什么特点？",
                "这道菜的摆盘特点是什么？",
                "描述一下它的外观",
                "长什么样？",
                "摆盘好看吗",
                "卖相如何？",
                "图片中的食物看起来怎么样？",
            ),
            "en": (
                "How is this dish presented?",
                "What is special about the plating?",
                "Describe how it looks",
                "Is it nicely plated?",
                "comment on the presentation",
                "what does the plating look like",
            ),
        },
        answered={
            "zh": ("{name}通常这样摆盘：{looks}。", "摆盘上，{looks}。这是{name}常见的样子。"),
            "en": ("The usual look of {name}: {looks}.", "The plating of {name}: {looks}."),
        },
    ),
    "ingredients": Topic(
        weight=2,
        asked={
            "zh": (
                "主要食材是什么？",
                "这道菜用了哪些食材？",
                "图片中的食物的主要食材是什么？",
                "里面有什么",
                "素食者能吃吗？",
                "有没有肉？",
                "配料有哪些",
                "用料是什么？",
                "它是用什么做的？",
            ),
            "en": (
                "What are the main ingredients?",
                "What is in it?",
                "What is it made of?",
                "Is it vegetarian?",
                "Does it have meat?",
                "list the ingredients",
                "What do they put in it?",
                "which ingredients does this dish use",
            ),
        },
        answered={
            "zh": (
                "{name}主要用{ingredients}。",
                "主要食材：{ingredients}。这是{name}的标准配置。",
            ),
            "en": (
                "{name} {is} made with {ingredients}.",
                "The main ingredients of {name}: {ingredients}.",
            ),
        },
    ),
    "allergens": Topic(
        weight=2,
        asked={
            "zh": (
                "有什么过敏原？",
                "我过敏，能吃吗？",
                "里面含有花生吗？",
                "对{allergen}过敏可以吃吗",
                "里面有{allergen}吗？",
                "孩子对{allergen}过敏，能吃吗？",
                "有没有坚果或海鲜？",
                "这道菜有没有致敏成分？",
                "含麸质吗？",
            ),
            "en": (
                "Which allergens are in it?",
                "I have allergies, can I eat this?",
                "Does it contain peanuts?",
                "I am allergic to {allergen}, is it safe?",
                "Is there {allergen} in it?",
                "my kid cannot have {allergen}, is this ok",
                "Is it dairy free?",
                "is it gluten free",
                "Any allergens?",
            ),
        },
        answered={
            "zh": (
                "{name}可能含有{allergens}，也可能有别的过敏原。过敏的话，请先问店家。",
                "可能含有{allergens}。我不能保证没有别的，点{name}前请问清楚。",
            ),
            "en": (
                "{name} may contain {allergens}, and maybe more. With allergies, ask the kitchen.",
                "It may contain {allergens}. I cannot promise more: ask before you eat {name}.",
            ),
        },
    ),
    "calories": Topic(
        weight=2,
        asked={
            "zh": (
                "热量多少？",
                "这个有多少卡路里？",
                "吃这个会胖吗？",
                "卡路里高不高？",
                "一份有多少大卡",
                "健康吗？",
                "热量高吗",
                "减肥能吃吗",
                "这份多少千卡？",
            ),
            "en": (
                "How many calories?",
                "how many kcal is that",
                "Is it high in calories?",
                "calorie count please",
                "How fattening is this?",
                "Is it healthy?",
                "Can I eat it on a diet?",
                "Will this make me fat?",
            ),
        },
        answered={
            "zh": (
                "{name}{serving}约{calories}千卡，这是估计值，看做法和分量。",
                "估计{serving}{calories}千卡左右，{name}的做法不同会有差别。",
            ),
            "en": (
                "{name}: about {calories} kcal for {serving}, an estimate; kitchens differ.",
                "I estimate {calories} kcal for {serving} of {name}, give or take.",
            ),
        },
    ),
    "where": Topic(
        weight=1.5,
        asked={
            "zh": (
                "去哪里吃？",
                "哪家店有卖？",
                "想吃这个该去哪",
                "推荐个地方吃",
                "哪里能吃到这道菜？",
                "在什么地方吃最地道",
                "去哪儿吃比较好？",
            ),
            "en": (
                "Where should I eat it?",
                "Which kind of restaurant has it?",
                "where to go for this",
                "Recommend a place to eat it",
                "Where can I find this?",
                "what is the best place for it",
                "Where do people eat this?",
            ),
        },
        answered={
            "zh": ("想吃{name}，推荐{where}。", "{where}，那里的{name}最对味。"),
            "en": ("The best place for {name}: {where}.", "Look for {name} here: {where}."),
        },
    ),
    "served": Topic(
        asked={
            "zh": ("一般怎么上桌？", "这道菜怎么端上来？", "趁热吃还是凉着吃？"),
            "en": (
                "How is it served?",
                "Is it eaten hot or cold?",
                "how does it come to the table",
            ),
        },
        answered={
            "zh": ("{name}的上桌方式：{served}。",),
            "en": (
                "{name} {is} served {served}.",
                "It comes {served}; that is how {name} should be.",
            ),
        },
    ),
    "pairing": Topic(
        asked={
            "zh": ("配什么好？", "搭配什么喝的？", "跟什么一起吃好"),
            "en": ("What goes with it?", "What should I drink with this?", "any pairing ideas"),
        },
        answered={
            "zh": ("{name}配{pairs}最好。", "我会配{pairs}。"),
            "en": ("The best company for {name}: {pairs}.", "I would have {pairs}."),
        },
    ),
    "tip": Topic(
        asked={
            "zh": ("有什么建议？", "怎么吃最好？", "有什么小窍门吗", "给点建议吧"),
            "en": ("Any advice?", "How should I eat it?", "Got a tip?", "what do you recommend"),
        },
        answered={
            "zh": ("吃{name}的建议：{tip}。", "{tip}，{name}会更好吃。"),
            "en": ("My advice for {name}: {tip}.", "With {name}, remember: {tip}."),
        },
    ),
    "praise": Topic(
        asked={
            "zh": ("这道菜好在哪里？", "有什么优点？", "你喜欢它什么"),
            "en": ("What is good about it?", "What do you like here?", "what are its merits"),
        },
        answered={
            "zh": ("{name}做得好时，{p1}，{p2}。",),
            "en": ("What I like in {name}: {p1}, and {p2}.",),
        },
    ),
    "fault": Topic(
        asked={
            "zh": ("有什么缺点？", "哪里还能改进？", "为什么不给满分？"),
            "en": ("What is wrong with it?", "What could be better?", "Why not ten out of ten?"),
        },
        answered={
            "zh": ("{name}最容易出的问题：{f1}，{f2}。",),
            "en": ("The usual faults of {name}: {f1}, and {f2}.",),
        },
    ),
    "cook": Topic(
        asked={
            "zh": ("怎么做？", "在家能做吗？", "教我做这道菜"),
            "en": ("How do I make it?", "Can I cook this at home?", "give me the recipe"),
        },
        answered={
            "zh": ("备好{ingredients}，目标是{texture}。我只会吃，细节请查菜谱。",),
            "en": (
                "Take {ingredients}, and aim for {texture}. I only eat: a cookbook knows the rest.",
            ),
        },
    ),
    "joke": Topic(
        asked={
            "zh": ("讲个笑话", "说点好笑的", "吐槽一下"),
            "en": ("Tell me a joke about it", "say something funny", "roast it"),
        },
        answered={"zh": ("{joke}。",), "en": ("{joke}.",)},
    ),
}

#: Facts asked as multiple choice: how FoodieQA asks, and the reason given after the letter.
CHOICES: Final[dict[str, Topic]] = {
    "name": Topic(
        weight=1,
        asked={
            "zh": ("图片中的食物是什么？", "图中的菜叫什么名字？"),
            "en": ("What is the food in the picture?", "What is the name of this dish?"),
        },
        answered={"zh": ("图中的菜是{name}。",), "en": ("The dish is {name}.",)},
    ),
    "cuisine": Topic(
        asked={
            "zh": ("图片中的食物属于哪个菜系？", "这道菜通常被认为是哪里的菜？"),
            "en": (
                "Which cuisine does the food in the picture belong to?",
                "What cuisine is this dish?",
            ),
        },
        answered={
            "zh": ("图中的菜是{name}，属于{cuisine}。",),
            "en": ("The dish is {name}, {cuisine}.",),
        },
    ),
    "taste": Topic(
        asked={
            "zh": ("图片中的食物是什么口味？", "这道菜的味道特点是什么？"),
            "en": (
                "What does the food in the picture taste like?",
                "What is the flavour of this dish?",
            ),
        },
        answered={
            "zh": ("图中的菜是{name}，{taste}。",),
            "en": ("The dish is {name}: {taste}.",),
        },
    ),
    "region": Topic(
        asked={
            "zh": ("图片中的食物是哪个地区的特色？", "这道菜起源于哪里？"),
            "en": (
                "Which region is the food in the picture a speciality of?",
                "Where does this dish come from?",
            ),
        },
        answered={
            "zh": ("图中的菜是{name}，来自{region}。",),
            "en": ("The dish is {name}, from {region}.",),
        },
    ),
    "looks": Topic(
        asked={
            "zh": ("图片中的食物的外观特点是什么？", "这道菜通常怎么摆盘？"),
            "en": (
                "What does the food in the picture look like?",
                "How is this dish usually plated?",
            ),
        },
        answered={
            "zh": ("图中的菜是{name}，{looks}。",),
            "en": ("The dish is {name}: {looks}.",),
        },
    ),
    "served": Topic(
        asked={"zh": ("这道菜通常怎么上桌？",), "en": ("How is this dish served?",)},
        answered={
            "zh": ("图中的菜是{name}，{served}。",),
            "en": ("The dish is {name}, served {served}.",),
        },
    ),
    "ingredient": Topic(
        weight=2,
        asked={
            "zh": (
                "图片中的食物的主要食材是什么？",
                "以下哪种是这道菜的食材？",
                "这道菜中有哪种食材？",
            ),
            "en": (
                "What is the main ingredient of the food in the picture?",
                "Which of these is an ingredient of this dish?",
            ),
        },
        answered={
            "zh": ("图中的菜是{name}，主要用{i1}、{i2}和{i3}。",),
            "en": ("The dish is {name}, made with {i1}, {i2} and {i3}.",),
        },
    ),
    "not_ingredient": Topic(
        asked={
            "zh": ("以下哪种不是图片中食物的食材？", "这道菜一般不用哪种食材？"),
            "en": (
                "Which of these is not an ingredient of the food in the picture?",
                "Which ingredient is usually not used in this dish?",
            ),
        },
        answered={
            "zh": ("图中的菜是{name}，一般用{ingredients}。",),
            "en": ("The dish is {name}, usually made with {ingredients}.",),
        },
    ),
}
