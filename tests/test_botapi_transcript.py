"""A transcript says what people saw."""

from pathlib import Path

from tests.botapi.transcript import transcript
from tests.botbench import picture, restaurant


async def test_a_transcript_shows_pictures_bold_words_and_buttons(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        li = place.person("李", "zh")
        li.sends_photo(picture(), caption="🍜 好吃吗？")
        await li.sees_button("再试一次")
        await place.settled()
        assert transcript(place.tg.world, li.chat) == (
            "**李**\n\n> 🖼 photo, 640 × 480\n> 🍜 好吃吗？\n\n"
            "**Food Critic** 🤖\n\n> **日式拉面**（Ramen）· 日本料理 · 8/10\n>\n> 汤头浓郁。\n>\n"
            "> `👍` `👎` `✏️` `🔁 再试一次`\n"
        )
