"""People on the emulated Telegram, so that a conversation reads like one.

```python
async with telegram() as tg:
    ann = tg.person("Ann", "en")
    ann.sends_photo(ramen, caption="What is this?")
    answer = await ann.sees("Ramen")
    await ann.taps("🔁 Try again")
```

`sees` looks at what the bot sent or changed since the person's last action.
"""

import asyncio
import contextlib
import itertools
import mimetypes
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.botapi.methods import document, photo_sizes
from tests.botapi.methods import member as chat_member
from tests.botapi.server import serving
from tests.botapi.world import PATIENCE, ApiError, Chat, Json, World


@dataclass(frozen=True, slots=True)
class Seen:
    """A message of the bot, as it is now."""

    chat: Chat
    message: Json

    @property
    def id(self) -> int:
        return int(self.message["message_id"])

    @property
    def text(self) -> str:
        return str(self.message.get("text") or self.message.get("caption", ""))

    @property
    def has_photo(self) -> bool:
        return "photo" in self.message

    @property
    def buttons(self) -> list[str]:
        return [str(b["text"]) for b in keys(self.message)]


def keys(message: Json) -> list[Json]:
    """The inline buttons of a message."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button for row in rows for button in row]


class Person:
    """A user in one chat (the private one unless a group is given)."""

    def __init__(
        self, world: World, user: Json, chat: Chat | None = None, thread_id: int | None = None
    ) -> None:
        self.world = world
        self.user = user
        self.chat = chat or world.private(user)
        self.thread_id = thread_id
        self.mark = world.ticks
        self._albums = itertools.count(1)

    @property
    def id(self) -> int:
        return int(self.user["id"])

    # -- doing -------------------------------------------------------------------------------

    def sends(self, reply_to: int | None = None, **content: Any) -> Json:
        """Put a message of any content into the chat and post the update."""
        original = self.chat.messages.get(reply_to) if reply_to else None
        message = self.world.place(
            self.chat,
            self.user,
            self.thread_id,
            reply_to_message=original,
            **content,
        )
        self.mark = self.world.ticks
        if self.bot_receives(message):
            self.world.post("message", message)
        return message

    def bot_receives(self, message: Json) -> bool:
        """Group privacy: only commands, mentions, replies to the bot, and service messages."""
        bot = self.world.bot
        if self.chat.info["type"] == "private" or bot["can_read_all_group_messages"]:
            return True
        if self.chat.members.get(bot["id"]) == "administrator":
            return True
        text = message.get("text") or message.get("caption", "")
        name = f"@{bot['username']}".lower()
        answered = message.get("reply_to_message", {}).get("from", {}).get("id") == bot["id"]
        foreign = text.startswith("/") and "@" in text.split()[0] and name not in text.lower()
        return answered or name in text.lower() or (text.startswith("/") and not foreign)

    def says(self, text: str, reply_to: int | None = None) -> Json:
        """Send a text; commands and mentions carry their entities."""
        return self.sends(reply_to, text=text, entities=entities_of(text) or None)

    def photo(self, source: Path | bytes) -> list[Json]:
        return photo_sizes(self.world, self.world.store(read(source), ".jpg"))

    def sends_photo(
        self,
        source: Path | bytes,
        caption: str | None = None,
        reply_to: int | None = None,
        album: str | None = None,
    ) -> Json:
        return self.sends(
            reply_to,
            photo=self.photo(source),
            caption=caption,
            caption_entities=entities_of(caption or "") or None,
            media_group_id=album,
        )

    def sends_album(
        self, sources: Sequence[Path | bytes], caption: str | None = None
    ) -> list[Json]:
        """Several photos at once: separate updates that share a media_group_id."""
        album = f"album-{self.id}-{next(self._albums)}"
        return [
            self.sends_photo(source, caption=caption if n == 0 else None, album=album)
            for n, source in enumerate(sources)
        ]

    def sends_document(
        self, source: Path | bytes, name: str, mime: str | None = None, caption: str | None = None
    ) -> Json:
        info = document(self.world, self.world.store(read(source), Path(name).suffix), name)
        info["mime_type"] = mime or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return self.sends(document=info, caption=caption)

    def sends_sticker(self) -> Json:
        file_id = self.world.store(b"sticker", ".webp")
        sticker = {"file_id": file_id, "file_unique_id": "u", "width": 512, "height": 512,
                   "is_animated": False, "is_video": False, "type": "regular"}  # fmt: skip
        return self.sends(sticker=sticker)

    def sends_voice(self) -> Json:
        file_id = self.world.store(b"voice", ".ogg")
        return self.sends(voice={"file_id": file_id, "file_unique_id": "u", "duration": 3})

    def sends_video(self) -> Json:
        file_id = self.world.store(b"video", ".mp4")
        video = {"file_id": file_id, "file_unique_id": "u", "width": 9, "height": 9, "duration": 3}
        return self.sends(video=video)

    def edits(self, message: Json, text: str) -> None:
        """Change an own message."""
        field = "text" if "text" in message else "caption"
        message[field] = text
        message[f"{field.removeprefix('text')}{'_' if field == 'caption' else ''}entities"] = (
            entities_of(text)
        )
        message["edit_date"] = int(self.world.clock())
        self.mark = self.world.tick()
        if self.bot_receives(message):
            self.world.post("edited_message", message)

    def deletes(self, message: Json) -> None:
        """Delete an own message; bots are not told."""
        del self.chat.messages[message["message_id"]]
        self.world.tick()

    async def taps(self, label: str, seen: Seen | None = None) -> str:
        """Tap the newest button whose label holds `label`; returns the bot's notice (or "")."""

        def newest() -> tuple[Json, Json] | None:
            for message in reversed(self.world.by_bot(self.chat.id)):
                if seen is not None and message["message_id"] != seen.id:
                    continue
                for button in keys(message):
                    if label in button["text"]:
                        return message, button
            return None

        message, button = await self.world.until(newest, f"no button {label!r}")
        return await self.presses(message, button["callback_data"])

    async def presses(self, message: Json, data: str) -> str:
        """Send a callback with any data, as a hostile client can."""
        query_id = f"q{self.world.ticks}-{self.id}"
        self.world.queries[query_id] = None
        self.mark = self.world.tick()
        query = {
            "id": query_id,
            "from": self.user,
            "message": message,
            "chat_instance": str(self.chat.id),
            "data": data,
        }
        self.world.post("callback_query", query)
        answer = await self.world.until(
            lambda: self.world.queries[query_id], f"callback {data!r} was not answered"
        )
        return str(answer.get("text") or "")

    def stops_draft(self) -> None:
        """Tap the Stop that clients show under a streaming draft."""
        draft = self.chat.draft
        assert draft is not None, "no draft is streaming"
        assert draft["can_stop"], "the draft has no Stop"
        self.mark = self.world.tick()
        content = {"chat": self.chat.info, "draft_id": draft["draft_id"]}
        self.world.post("stopped_message_generation", content)

    def reacts(self, message_id: int, emoji: str | None) -> None:
        """Put a reaction on a message, or take it away; bots hear of it as admins or in private."""
        new = [{"type": "emoji", "emoji": emoji}] if emoji else []
        self.mark = self.world.tick()
        self.world.post(
            "message_reaction",
            {
                "chat": self.chat.info,
                "message_id": message_id,
                "user": self.user,
                "date": int(self.world.clock()),
                "old_reaction": [],
                "new_reaction": new,
            },
        )

    def asks_inline(self, query: str) -> str:
        """Type `@bot query` in any chat; returns the query id for World.queries."""
        query_id = f"i{self.world.ticks}-{self.id}"
        self.world.queries[query_id] = None
        content = {"id": query_id, "from": self.user, "query": query, "offset": ""}
        self.world.post("inline_query", content)
        return query_id

    def summons(self, text: str, reply_to: Json | None = None, **content: Any) -> str:
        """Mention the bot in a chat it is no member of; the id of the query it may answer."""
        query_id = f"g{self.world.ticks}-{self.id}"
        self.world.queries[query_id] = None
        message = {
            "message_id": 1,
            "date": int(self.world.clock()),
            "chat": {"id": -777, "type": "supergroup", "title": "Elsewhere"},
            "from": self.user,
            "text": text,
            "entities": entities_of(text) or None,
            "reply_to_message": reply_to,
            "guest_query_id": query_id,
            **content,
        }
        given = {key: value for key, value in message.items() if value is not None}
        self.world.post("guest_message", given)
        return query_id

    def member_update(self, before: str, after: str) -> None:
        bot = self.world.bot
        self.world.post(
            "my_chat_member",
            {
                "chat": self.chat.info,
                "from": self.user,
                "date": int(self.world.clock()),
                "old_chat_member": chat_member(bot, before),
                "new_chat_member": chat_member(bot, after),
            },
        )

    def blocks_bot(self) -> None:
        self.chat.refuses = ApiError(403, "Forbidden: bot was blocked by the user")
        self.member_update("member", "kicked")

    def unblocks_bot(self) -> None:
        self.chat.refuses = None
        self.member_update("kicked", "member")

    def kicks_bot(self) -> None:
        kind = self.chat.info["type"]
        self.chat.refuses = ApiError(403, f"Forbidden: bot was kicked from the {kind} chat")
        self.member_update("member", "kicked")

    # -- seeing ------------------------------------------------------------------------------

    def visible(self) -> list[Seen]:
        """The bot's messages (of this topic) that are new or changed since the last action."""
        return [
            Seen(self.chat, message)
            for message in self.world.by_bot(self.chat.id)
            if self.chat.touched[message["message_id"]] > self.mark
            and (self.thread_id is None or message.get("message_thread_id") == self.thread_id)
        ]

    async def sees(self, text: str, patience: float = PATIENCE) -> Seen:
        """Wait for a message that holds `text`."""

        def found() -> Seen | None:
            return next((seen for seen in self.visible() if text in seen.text), None)

        try:
            return await self.world.until(found, text, patience)  # type: ignore[no-any-return]
        except TimeoutError:
            now = [seen.text for seen in self.visible()]
            raise AssertionError(
                f"{self.user['first_name']} waits for {text!r}, sees {now}"
            ) from None

    async def sees_button(self, label: str, patience: float = PATIENCE) -> Seen:
        """Wait for a message with a button: an answer is complete when it offers what is next."""

        def found() -> Seen | None:
            return next((s for s in self.visible() if any(label in b for b in s.buttons)), None)

        try:
            return await self.world.until(found, label, patience)  # type: ignore[no-any-return]
        except TimeoutError:
            now = [(seen.text, seen.buttons) for seen in self.visible()]
            raise AssertionError(f"no button {label!r} under {now}") from None

    async def sees_draft(self, text: str = "", patience: float = PATIENCE) -> str:
        """Wait for a streaming draft that holds `text`."""

        def found() -> str | None:
            draft = self.chat.draft
            return str(draft["text"]) if draft and text in draft["text"] else None

        return str(await self.world.until(found, f"no draft with {text!r}", patience))

    async def sees_nothing(self, seconds: float = 0.3) -> None:
        """Check that the bot stays silent."""
        await asyncio.sleep(seconds)
        assert not self.visible(), [seen.text for seen in self.visible()]


class Group:
    """A group, its people and topics."""

    def __init__(self, world: World, chat: Chat) -> None:
        self.world = world
        self.chat = chat

    def member(self, person: Person, status: str = "member", topic: int | None = None) -> Person:
        """The same user, acting in this group (and topic)."""
        self.chat.members[person.id] = status
        return Person(self.world, person.user, self.chat, topic)

    def topic(self, thread_id: int, name: str) -> int:
        self.chat.topics[thread_id] = name
        return thread_id

    def migrates(self, new_id: int) -> "Group":
        """Become a supergroup: the old id refuses and names the new one, two service messages."""
        new = self.world.group(new_id, self.chat.info["title"], "supergroup")
        new.members = dict(self.chat.members)
        self.chat.refuses = ApiError(
            400,
            "Bad Request: group chat was upgraded to a supergroup chat",
            migrate_to_chat_id=new_id,
        )
        anyone = next(self.world.users[u] for u in self.chat.members if u in self.world.users)
        old = self.world.place(self.chat, anyone, None, migrate_to_chat_id=new_id)
        self.world.post("message", old)
        fresh = self.world.place(new, anyone, None, migrate_from_chat_id=self.chat.id)
        self.world.post("message", fresh)
        return Group(self.world, new)


class Telegram:
    """A served world and the ways to fill it with people."""

    def __init__(self, world: World, address: str) -> None:
        self.world = world
        self.address = address
        self._people = itertools.count(101)
        self._groups = itertools.count(1)

    @property
    def base_url(self) -> str:
        return f"{self.address}/bot"

    @property
    def base_file_url(self) -> str:
        return f"{self.address}/file/bot"

    def person(self, name: str, language: str | None = "en") -> Person:
        return Person(self.world, self.world.user(next(self._people), name, language))

    def group(
        self, title: str = "Gourmets", kind: str = "supergroup", forum: bool = False
    ) -> Group:
        number = next(self._groups)
        chat_id = -1_000_000_000_000 - number if kind == "supergroup" else -number
        return Group(self.world, self.world.group(chat_id, title, kind, forum))


@contextlib.asynccontextmanager
async def telegram(**options: Any) -> AsyncIterator[Telegram]:
    """Serve a new world for one test."""
    world = World(**options)
    async with serving(world) as address:
        yield Telegram(world, address)


def read(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def entities_of(text: str) -> list[Json]:
    """The bot_command and mention entities that Telegram adds, in UTF-16 units."""
    found, offset = [], 0
    for word in text.split(" "):
        length = len(word.encode("utf-16-le")) // 2
        if word.startswith("/") and len(word) > 1:
            found.append({"type": "bot_command", "offset": offset, "length": length})
        elif word.startswith("@") and len(word) > 1:
            found.append({"type": "mention", "offset": offset, "length": length})
        offset += length + 1
    return found
