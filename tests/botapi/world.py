"""What Telegram knows: users, chats, messages, files, updates, and a record of every call."""

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.botapi.faults import Fault, Meter

Json = dict[str, Any]

#: Updates that a bot gets only when it names them in allowed_updates.
ON_REQUEST = {
    "chat_member",
    "message_reaction",
    "message_reaction_count",
    "stopped_message_generation",
}


class ApiError(Exception):
    """An answer with ok=false; `parameters` may carry retry_after or migrate_to_chat_id."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


#: Seconds after which a wait is a hang; how fast a machine is must decide no test.
PATIENCE = 60.0


@dataclass(kw_only=True, slots=True)
class Call:
    """One request of the bot, as it was answered."""

    at: float
    method: str
    params: Json
    chat_id: int | None
    ok: bool = True
    error: str = ""
    fault: str = ""
    message_id: int | None = None


@dataclass(kw_only=True, slots=True)
class Chat:
    """A chat and what is in it."""

    info: Json
    messages: dict[int, Json] = field(default_factory=dict)
    #: message id → the number of the change that touched it last (see World.tick)
    touched: dict[int, int] = field(default_factory=dict)
    #: everything a message ever said, for tests that forbid a text to appear twice
    history: list[tuple[int, str]] = field(default_factory=list)
    draft: Json | None = None
    drafts: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    members: dict[int, str] = field(default_factory=dict)  #: user id → status
    topics: dict[int, str] = field(default_factory=dict)
    refuses: ApiError | None = None
    may_send_photos: bool = True
    next_id: int = 1

    @property
    def id(self) -> int:
        return int(self.info["id"])


class World:
    """The state behind the server. Not thread-safe: it lives in the server's event loop."""

    def __init__(
        self,
        *,
        token: str = "1000:test-token",
        privacy: bool = True,
        scale: float = 1.0,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.token = token
        self.clock = clock
        self.bot: Json = {
            "id": int(token.split(":")[0]),
            "is_bot": True,
            "first_name": "Food Critic",
            "username": "foodcritic_bot",
            "can_join_groups": True,
            "can_read_all_group_messages": not privacy,
            "supports_inline_queries": True,
        }
        self.users: dict[int, Json] = {}
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.updates: deque[Json] = deque()
        self.next_update = 1
        self.delivered_updates = 0
        self.allowed: set[str] | None = None
        self.webhook: Json = {"url": ""}
        self.poll_generation = 0
        self.polling = 0
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.meter = Meter(now=clock, scale=scale)
        self.rng = random.Random(seed)
        self.refuses_drafts = False
        self.profile: Json = {}
        #: types of command scopes that name a chat which never wrote to the bot
        self.refuses_scopes: set[str] = set()
        #: callback, inline and guest queries that wait for an answer: id → the answer when given
        self.queries: dict[str, Json | None] = {}
        #: messages that answer guest queries: id → all they ever said
        self.inline: dict[str, list[str]] = {}
        self.ticks = 0
        self.next_private_id = 1
        self._changed = asyncio.Event()

    # -- change and waiting ------------------------------------------------------------------

    def tick(self) -> int:
        """Number a change and wake everyone who waits for one."""
        self.ticks += 1
        self._changed.set()
        self._changed = asyncio.Event()
        return self.ticks

    async def until(
        self, predicate: Callable[[], Any], what: str, patience: float = PATIENCE
    ) -> Any:
        """Wait until `predicate()` is true and return its value; TimeoutError names `what`."""
        deadline = time.monotonic() + patience
        while not (value := predicate()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(what)
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                continue
        return value

    @property
    def is_listened_to(self) -> bool:
        """Whether a bot polls, or has told where updates are to be posted."""
        return self.polling > 0 or bool(self.webhook["url"])

    # -- people and chats --------------------------------------------------------------------

    def user(self, user_id: int, first_name: str, language_code: str | None = None) -> Json:
        """Register a person."""
        info: Json = {"id": user_id, "is_bot": False, "first_name": first_name}
        if language_code:
            info["language_code"] = language_code
        self.users[user_id] = info
        return info

    def private(self, user: Json) -> Chat:
        """The private chat of a user with the bot, made when new."""
        if user["id"] not in self.chats:
            info = {"id": user["id"], "type": "private", "first_name": user["first_name"]}
            self.chats[user["id"]] = Chat(info=info)
        return self.chats[user["id"]]

    def group(
        self, chat_id: int, title: str, kind: str = "supergroup", forum: bool = False
    ) -> Chat:
        """Make a group that the bot is a member of."""
        info: Json = {"id": chat_id, "type": kind, "title": title}
        if forum:
            info["is_forum"] = True
        chat = Chat(info=info, members={int(self.bot["id"]): "member"})
        self.chats[chat_id] = chat
        return chat

    # -- messages ----------------------------------------------------------------------------

    def place(self, chat: Chat, sender: Json, thread_id: int | None, **content: Any) -> Json:
        """Put a new message into a chat; supergroups number their own, the rest share a counter."""
        if chat.info["type"] == "supergroup":
            message_id, chat.next_id = chat.next_id, chat.next_id + 1
        else:
            message_id, self.next_private_id = self.next_private_id, self.next_private_id + 1
        message: Json = {
            "message_id": message_id,
            "date": int(self.clock()),
            "chat": chat.info,
            "from": sender,
            **{key: value for key, value in content.items() if value is not None},
        }
        if thread_id:
            message |= {"message_thread_id": thread_id, "is_topic_message": True}
        chat.messages[message_id] = message
        if sender["id"] == self.bot["id"]:
            chat.draft = None  # clients drop a draft when the bot's next message comes
        self.note(chat, message)
        return message

    def note(self, chat: Chat, message: Json) -> None:
        """Record that a message is new or changed."""
        chat.touched[message["message_id"]] = self.tick()
        chat.history.append(
            (message["message_id"], message.get("text") or message.get("caption", ""))
        )

    def by_bot(self, chat_id: int) -> list[Json]:
        """The bot's messages that are in the chat now, oldest first."""
        chat = self.chats[chat_id]
        return [m for _, m in sorted(chat.messages.items()) if m["from"]["id"] == self.bot["id"]]

    def store(self, data: bytes, suffix: str) -> str:
        """Keep a file; returns its file_id."""
        file_id = f"file-{len(self.files) + 1}"
        self.files[file_id] = (f"files/{len(self.files) + 1}{suffix}", data)
        return file_id

    # -- updates -----------------------------------------------------------------------------

    def post(self, kind: str, content: Json) -> int:
        """Queue an update for the bot; returns its id, 0 when the bot did not ask for its kind."""
        if kind in ON_REQUEST and (self.allowed is None or kind not in self.allowed):
            return 0
        update_id, self.next_update = self.next_update, self.next_update + 1
        # A copy: what was said stays said, also when the message is edited later.
        self.updates.append({"update_id": update_id, kind: json.loads(json.dumps(content))})
        self.tick()
        return update_id

    def pending(self, offset: int, limit: int) -> list[Json]:
        """getUpdates: confirm everything before `offset`, return up to `limit` of the rest."""
        if offset < 0:
            while len(self.updates) > -offset:
                self.updates.popleft()
        while self.updates and self.updates[0]["update_id"] < offset:
            self.updates.popleft()
            self.delivered_updates += 1
        wanted = (
            u
            for u in self.updates
            if not self.allowed or next(key for key in u if key != "update_id") in self.allowed
        )
        return [update for update, _ in zip(wanted, range(limit), strict=False)]

    # -- the record --------------------------------------------------------------------------

    def made(self, method: str, chat_id: int | None = None, ok: bool | None = None) -> list[Call]:
        """The recorded calls of one method."""
        return [
            call
            for call in self.calls
            if call.method.lower() == method.lower()
            and (chat_id is None or call.chat_id == chat_id)
            and (ok is None or call.ok == ok)
        ]

    def texts(self, chat_id: int) -> Iterator[str]:
        """What the bot's messages in a chat say now."""
        for message in self.by_bot(chat_id):
            yield message.get("text") or message.get("caption", "")
