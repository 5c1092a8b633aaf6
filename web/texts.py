"""Every word the page says, zh and en, and which of the two a browser asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from web.wording import Lang, Texts

__all__ = ["EN", "LANGUAGES", "TEXTS", "ZH", "Lang", "Texts", "preferred", "spoken"]

LANGUAGES: Final[tuple[Lang, ...]] = get_args(Lang)

EN: Final = Texts(
    lang="en",
    other="中文",
    title="The Food Critic",
    tagline="Show me a dish. I name it, score it, and argue my case.",
    theme="Light or dark",
    logout="Leave",
    chat="Conversation",
    invite_title="What is on your plate?",
    invite="Add a photo, or several, with or without a question. Then ask on.",
    box="Ask, or add photos",
    new="New conversation",
    questions=(
        "Which cuisine is this?",
        "What does it taste like?",
        "Where should I eat it?",
        "Is it nicely plated?",
    ),
    suggestions="Ask",
    samples="From the kitchen",
    samples_hint="No photo at hand? Pick a plate.",
    ask_about="Ask about {dish}",
    sampling="How answers are drawn",
    sampling_hint="Lower is soberer, higher is bolder.",
    top_p="Top-p",
    temperature="Temperature",
    disclaimer=(
        "A critic can be wrong, and no photo shows allergens or freshness. "
        "Only whoever runs this page can see your photos and questions."
    ),
    looking="Looking at it",
    queued_one="One question is before yours",
    queued_many="{ahead} questions are before yours",
    about_seconds=", about {seconds} s to wait",
    stopped="Stopped.",
    score="{score} out of 10",
    unsure="Not sure. What it might be:",
    photo_of="Your photo",
    photo_number="Photo {number}",
    failed="I could not finish this answer. That is my fault, not yours: please try again.",
    talked_out="This conversation has become longer than I can read: start a new one.",
    photo_first="Send a photo of a dish first, then ask away.",
    no_session="This page needs its cookie to know your conversation: allow it and reload.",
    lost="The connection is gone. I try again every two seconds, and what you asked is not lost.",
    too_long="That is a long question: {length} characters, and I read {limit} at most.",
    too_many_photos="One question may have {limit} photos at most.",
    full_user="You have {limit} questions waiting already. Please ask again in about {seconds} s.",
    full_total="Too many people are asking right now. Please try again in about {minutes} min.",
    not_an_image="I cannot open this as a picture. Send a JPEG, PNG, WebP, GIF or HEIC.",
    truncated="This picture is damaged or cut off. Please send it again.",
    too_large="This file is larger than 20 MB. Send a smaller one.",
    too_many_pixels="This picture has more than 50 million pixels. Send a smaller one.",
    limit_minute=(
        "That was quick: {limit} questions a minute are all I take. "
        "Your next one can come in {seconds} s."
    ),
    limit_day=(
        "That was a full meal: {limit} questions a day are all I take. "
        "Your next one can come in {hours} h."
    ),
    limit_none="You cannot ask any more: the operator has set your quota to 0.",
    maintenance=(
        "The kitchen is being cleaned. What you asked before is still answered; "
        "please ask anew in a while."
    ),
    no_room=(
        "I cannot take anything in just now: my disk is full or my database away, and the log says "
        "which. What you asked before is not lost; please ask anew in a while."
    ),
    tab_talk="Critique",
    tab_memes="Memes",
    meme_invite_title="Play with your food",
    meme_invite="Add a photo and a style. I think of captions; you choose, restyle and download.",
    meme_photo="A photo",
    meme_first="Add a photo first.",
    meme_style="Style",
    top_bottom="Top and bottom",
    subtitle="Film subtitle",
    speech="The dish speaks",
    meme_make="Make a meme",
    meme_busy="Thinking of something…",
    meme_card="Score card of my last critique",
    meme_result="The picture",
    meme_captions="Captions",
    meme_words="With text",
    meme_none="Nothing funny came to my mind about this one. Try again?",
    meme_too_long="That caption is too long for this style.",
    no_card="There is no critique of a dish in your conversation yet.",
    meme_like="Funny",
    meme_dislike="Not funny",
    fix="Correct this answer",
    fix_title="What is it really?",
    fix_dish="The dish",
    fix_none="No dish at all",
    fix_other="Another dish",
    fix_text="A better answer",
    fix_send="Send",
    fix_leave="Never mind",
    fix_undo="Take it back",
    fix_noted_dish="Noted: {dish}.",
    fix_noted_text="Noted, a better answer.",
    fix_thanks="Thank you. Somebody reads it before anything changes.",
    fix_undone="Taken back.",
    fix_empty="Choose a dish, or write its name or a better answer.",
    fix_too_long_dish="That is longer than the name of a dish: {limit} characters are the most.",
    fix_too_long_text="That is longer than I can keep: {limit} characters are the most.",
    fix_stale="This answer cannot be corrected.",
    privacy="Privacy",
    privacy_title="What I hold about you",
    privacy_who=(
        "I know this browser by a random number in a cookie: no name, no address, no account. "
        "With that number I keep what you ask here and what I answer. Whoever runs this page can "
        "read it; other visitors cannot."
    ),
    privacy_nobody="I hold nothing about this browser.",
    held_questions="Questions, with their answers",
    held_photos="Photos, as you sent them",
    held_ratings="Ratings",
    held_corrections="Corrections",
    kept="I keep them until you delete them.",
    kept_days=(
        "I delete a question, its answer and its photos {days} days after the answer, "
        "except those I may learn from."
    ),
    consent_ask=(
        "May I learn from you? If you agree, the photos and questions you send me, your thumbs up "
        "and your corrections may be used to train my models. The people who run me look at "
        "corrections first. If not, I work just the same."
    ),
    consent_later="You can change your mind at any time under {privacy}.",
    consent_agree="Yes, learn from me",
    consent_refuse="No",
    consent_yes="Thank you: I may learn from you.",
    consent_no="All right: I learn nothing from you.",
    learn_yes="You agreed: I may learn from what you send.",
    learn_no="I learn nothing from what you send.",
    learn_unasked="I learn nothing from what you send, because you have not said that I may.",
    learn_stop="Learn nothing from me any more",
    download="Download my data",
    download_hint=(
        "A zip file: questions, answers, ratings and corrections as JSON, photos as you sent them."
    ),
    forget="Delete everything",
    forget_ask=(
        "All your questions, their answers, photos, ratings and corrections go, and I learn from "
        "them no more. "
        "This cannot be undone. What a model has learnt stays in it until its next training, "
        "which begins without you."
    ),
    forget_sure="Yes, delete everything",
    forgotten="Everything is deleted. If you ask me again, we meet for the first time.",
    back="Back to the table",
    password="Password",
    enter="Come in",
    wrong="That is not the password.",
    wrong_often="Too many passwords at once from where you are: wait ten seconds, then try again.",
    locked="This table is reserved.",
)

ZH: Final = Texts(
    lang="zh",
    other="English",
    title="美食评论家",
    tagline="端上一道菜：我来认，来评，来打分。",
    theme="浅色或深色",
    logout="离开",
    chat="对话",
    invite_title="今天吃什么？",
    invite="放上一张或几张照片，可以附上问题，之后接着问。",
    box="问一问，或添加照片",
    new="重新开始",
    questions=(
        "这道菜是哪个菜系？",
        "这道菜是什么滋味？",
        "哪里能吃到这道菜？",
        "这道菜的摆盘有什么特点？",
    ),
    suggestions="问一问",
    samples="今日例菜",
    samples_hint="手边没有照片？挑一盘试试。",
    ask_about="点评{dish}",
    sampling="回答的随机程度",
    sampling_hint="越低越稳，越高越放得开。",
    top_p="Top-p",
    temperature="温度",
    disclaimer="评论家也会看走眼；照片看不出过敏原，也看不出新鲜与否。照片和问题只有本站的运营者看得到。",
    looking="正在看",
    queued_one="前面还有 1 个问题",
    queued_many="前面还有 {ahead} 个问题",
    about_seconds="，大约等 {seconds} 秒",
    stopped="已停止。",
    score="满分十分，得 {score} 分",
    unsure="拿不准，可能是：",
    photo_of="你的照片",
    photo_number="第 {number} 张",
    failed="这次没能答完，是我的问题，请再试一次。",
    talked_out="这段对话太长，我读不下了：请重新开始。",
    photo_first="先发一张菜的照片，再随便问。",
    no_session="页面要靠 cookie 认出哪段对话是你的：请允许 cookie 后刷新。",
    lost="连接断了，每两秒重试一次；你问过的不会丢。",
    too_long="问题太长了：{length} 个字，最多只读 {limit} 个。",
    too_many_photos="一个问题最多带 {limit} 张照片。",
    full_user="你已经有 {limit} 个问题在排队，请大约 {seconds} 秒后再问。",
    full_total="现在问的人太多了，请大约 {minutes} 分钟后再试。",
    not_an_image="打不开这张图片。请发 JPEG、PNG、WebP、GIF 或 HEIC。",
    truncated="这张图片损坏或不完整，请重新发送。",
    too_large="文件超过 20 MB，请发小一点的。",
    too_many_pixels="图片超过五千万像素，请发小一点的。",
    limit_minute="慢一点：每分钟最多 {limit} 个问题，{seconds} 秒后再问。",
    limit_day="今天吃饱了：每天最多 {limit} 个问题，大约 {hours} 小时后再问。",
    limit_none="你不能再提问了：运营者把你的额度设成了 0。",
    maintenance="厨房正在打扫。之前的问题照常回答，新问题请过一会儿再来。",
    no_room="现在存不下新问题：磁盘满了，或者数据库连不上，日志里有原因。之前问的不会丢，请过一会儿再问。",
    tab_talk="点评",
    tab_memes="表情包",
    meme_invite_title="和食物开个玩笑",
    meme_invite="放一张照片，选个样式，我来想文案；你来挑，随时换样式，还能下载。",
    meme_photo="照片",
    meme_first="请先放一张照片。",
    meme_style="样式",
    top_bottom="上下大字",
    subtitle="电影字幕",
    speech="菜说话了",
    meme_make="做成表情包",
    meme_busy="正在想词……",
    meme_card="我上一篇点评的评分卡",
    meme_result="图片",
    meme_captions="文案",
    meme_words="要文字",
    meme_none="这张图没想出好笑的，再试一次？",
    meme_too_long="这句太长，这种样式放不下。",
    no_card="你的对话里还没有一篇对菜的点评。",
    meme_like="好笑",
    meme_dislike="不好笑",
    fix="纠正这个回答",
    fix_title="其实是什么？",
    fix_dish="菜名",
    fix_none="根本不是菜",
    fix_other="另一道菜",
    fix_text="更好的回答",
    fix_send="提交",
    fix_leave="算了",
    fix_undo="收回",
    fix_noted_dish="记下了：{dish}。",
    fix_noted_text="记下了更好的回答。",
    fix_thanks="谢谢。有人看过之后才会生效。",
    fix_undone="已收回。",
    fix_empty="请选一道菜，或者写出菜名或更好的回答。",
    fix_too_long_dish="菜名没有这么长：最多 {limit} 个字。",
    fix_too_long_text="太长了，最多 {limit} 个字。",
    fix_stale="这个回答不能纠正。",
    privacy="隐私",
    privacy_title="我保存了你的什么",
    privacy_who=(
        "我靠 cookie 里的一个随机编号认出这个浏览器：没有姓名，没有地址，没有账号。"
        "这个编号下保存着你在这里的提问和我的回答。运营这个网页的人看得到，别的访客看不到。"
    ),
    privacy_nobody="这个浏览器的内容，我什么都没有保存。",
    held_questions="提问和回答",
    held_photos="照片（原图）",
    held_ratings="评分",
    held_corrections="纠正",
    kept="一直保存，直到你删除。",
    kept_days="回答之后 {days} 天，问题、回答和照片都会删除；你同意我学习的除外。",
    consent_ask=(
        "我可以向你学习吗？如果你同意，你发来的照片和问题、点的赞和做的纠正，可能会用来训练我的模型。"
        "纠正会先由运营者看过。"
        "不同意也没关系，一切照常。"
    ),
    consent_later="随时可以在“{privacy}”里改变主意。",
    consent_agree="同意",
    consent_refuse="不同意",
    consent_yes="谢谢，我可以向你学习了。",
    consent_no="好的，我不会用你的内容来学习。",
    learn_yes="你已同意：我可以用你发来的内容学习。",
    learn_no="我不会用你发来的内容学习。",
    learn_unasked="你还没有表示同意，所以我不会用你发来的内容学习。",
    learn_stop="不要再向我学习",
    download="下载我的数据",
    download_hint="一个 zip 文件：提问、回答、评分和纠正是 JSON，照片是你发来的原图。",
    forget="全部删除",
    forget_ask=(
        "你的全部提问、回答、照片、评分和纠正都会删除，我以后学习也不再用到。无法恢复。"
        "模型已经学到的，会留到下一次训练；下一次训练不再有你的内容。"
    ),
    forget_sure="是的，全部删除",
    forgotten="已全部删除。你再来问我，就是初次见面了。",
    back="回到餐桌",
    password="密码",
    enter="进门",
    wrong="密码不对。",
    wrong_often="你所在的网络一下子试了太多次：请等十秒再试。",
    locked="这张桌子已预订。",
)

TEXTS: Final[dict[Lang, Texts]] = {"zh": ZH, "en": EN}


def spoken(session: Mapping[str, object], accept_language: str | None, default: Lang) -> Lang:
    """What somebody chose last, else what their browser asks for, else the default."""
    chosen = session.get("lang")
    return next((lang for lang in LANGUAGES if lang == chosen), preferred(accept_language, default))


def preferred(accept_language: str | None, default: Lang) -> Lang:
    """The language of ours that an ``Accept-Language`` header likes best (RFC 9110, 12.5.4)."""
    best: Lang = default
    weight = 0.0
    for part in (accept_language or "").split(",")[:20]:
        tag, _, parameter = part.strip().partition(";")
        name = tag.strip().lower().split("-")[0]
        try:
            quality = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
        except ValueError:
            continue
        for lang in LANGUAGES:
            if name == lang and quality > weight:
                best, weight = lang, quality
    return best
