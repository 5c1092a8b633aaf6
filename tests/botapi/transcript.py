"""A conversation on the emulated Telegram as Markdown, for the documentation."""

from tests.botapi.script import keys
from tests.botapi.world import Chat, Json, World


def transcript(world: World, chat: Chat) -> str:
    """What stands in a chat now, message by message, oldest first."""
    lines = []
    for _, message in sorted(chat.messages.items()):
        is_bot = message["from"]["id"] == world.bot["id"]
        lines.append(f"**{message['from']['first_name']}**{' 🤖' if is_bot else ''}")
        lines.append("")
        lines.extend(f"> {line}".rstrip() for line in content(message).split("\n"))
        if buttons := keys(message):
            labels = " ".join(f"`{button['text']}`" for button in buttons)
            lines.extend((">", f"> {labels}"))
        lines.append("")
    return "\n".join(lines)


def content(message: Json) -> str:
    """A message's picture and words, bold words marked."""
    words = bold(message.get("text") or message.get("caption", ""), entities(message))
    if "photo" in message:
        size = message["photo"][-1]
        return f"🖼 photo, {size['width']} × {size['height']}" + (f"\n{words}" if words else "")
    return words


def entities(message: Json) -> list[Json]:
    found: list[Json] = message.get("entities") or message.get("caption_entities") or []
    return [entity for entity in found if entity["type"] == "bold"]


def bold(text: str, spans: list[Json]) -> str:
    """The text with ** around what is bold; offsets are in UTF-16 units."""
    raw = text.encode("utf-16-le")
    pieces, last = [], 0
    for span in sorted(spans, key=lambda span: int(span["offset"])):
        start, end = 2 * span["offset"], 2 * (span["offset"] + span["length"])
        pieces += [
            raw[last:start].decode("utf-16-le"),
            "**",
            raw[start:end].decode("utf-16-le"),
            "**",
        ]
        last = end
    return "".join(pieces) + raw[last:].decode("utf-16-le")
