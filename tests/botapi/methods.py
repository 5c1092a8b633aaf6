"""The Bot API's methods over a World, one function each, refusing in Telegram's words.

A function takes `(world, params)` with JSON fields already decoded, and `Upload` objects for files.
Returns the `result`; raises ApiError. METHODS maps the lower-case method name to its function.
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image, UnidentifiedImageError

from tests.botapi.world import ApiError, Chat, Json, World

MAX_TEXT = 4096  #: UTF-16 units
MAX_CAPTION = 1024  #: UTF-16 units
MAX_DOWNLOAD = 20_000_000  #: bytes a bot may fetch
MAX_CALLBACK_DATA = 64  #: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file part of a multipart request."""

    name: str
    data: bytes


def utf16(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def bad(description: str) -> ApiError:
    return ApiError(400, f"Bad Request: {description}")


# -- checks ------------------------------------------------------------------------------------


def reachable(world: World, params: Json) -> Chat:
    """The chat a call names, or Telegram's reason why not."""
    try:
        chat = world.chats[int(params["chat_id"])]
    except (KeyError, ValueError):
        raise bad("chat not found") from None
    if chat.refuses is not None:
        raise chat.refuses
    return chat


def check_entities(text: str, entities: list[Json]) -> None:
    """Offsets must lie in the text and not inside a surrogate pair."""
    units = text.encode("utf-16-le")
    total = len(units) // 2
    for entity in entities:
        offset, length = int(entity["offset"]), int(entity["length"])
        if offset < 0 or length <= 0 or offset + length > total:
            raise bad(
                f"can't parse entities: entity {offset}+{length} is out of the text of {total}"
            )
        for edge in (offset, offset + length):
            if edge < total and 0xDC <= units[edge * 2 + 1] <= 0xDF:
                raise bad(
                    f"entity beginning at UTF-16 offset {offset} "
                    "ends in a middle of a UTF-16 symbol"
                )


def parse_mode(text: str, mode: str) -> str:
    """Enough of Telegram's parsers to fail where they fail."""
    if mode.lower().startswith("markdown"):
        for mark in "*_`":
            plain = text.replace("\\" + mark, "")
            if plain.count(mark) % 2:
                where = len(text[: text.rindex(mark)].encode())
                raise bad(
                    "can't parse entities: Can't find end of the entity "
                    f"starting at byte offset {where}"
                )
        return re.sub(r"[*_`]", "", text)
    if mode.lower() == "html":
        opened = re.findall(r"<(/?)([a-z]+)[^>]*>", text)
        if sum(1 if not slash else -1 for slash, _ in opened) != 0:
            raise bad("can't parse entities: Can't find end tag")
        return re.sub(r"<[^>]*>", "", text)
    raise bad("unsupported parse_mode")


def body(params: Json, field: str, limit: int) -> Json:
    """The text or caption with its entities, checked."""
    text = str(params.get(field) or "")
    if params.get("parse_mode"):
        text = parse_mode(text, params["parse_mode"])
    name = "entities" if field == "text" else "caption_entities"
    entities = params.get(name) or []
    if utf16(text) > limit:
        raise bad("message is too long" if field == "text" else "message caption is too long")
    check_entities(text, entities)
    content: Json = {field: text}
    if entities:
        content[name] = entities
    return content


def markup(params: Json) -> Json | None:
    """The inline keyboard, checked."""
    keyboard: Json | None = params.get("reply_markup")
    for row in (keyboard or {}).get("inline_keyboard", []):
        for button in row:
            data = button.get("callback_data")
            if data is not None and not 1 <= len(data.encode()) <= MAX_CALLBACK_DATA:
                raise bad("BUTTON_DATA_INVALID")
            if not button.get("text"):
                raise bad("can't parse inline keyboard button: field text must be non-empty")
    if keyboard is None or not keyboard.get("inline_keyboard"):
        return None  # a message carries no other kind: ForceReply is the client's business
    return keyboard


def replied(chat: Chat, params: Json) -> Json | None:
    """The message that a reply names; None when it is gone and the bot said that is fine."""
    reply = params.get("reply_parameters")
    if not reply:
        return None
    original = chat.messages.get(int(reply["message_id"]))
    if original is None and not reply.get("allow_sending_without_reply"):
        raise bad("message to be replied not found")
    return {k: v for k, v in (original or {}).items() if k != "reply_to_message"} or None


def thread(chat: Chat, params: Json) -> int | None:
    """The topic, which must exist in a forum."""
    value = params.get("message_thread_id")
    if value is None:
        return None
    if chat.info.get("is_forum") and int(value) not in chat.topics:
        raise bad("message thread not found")
    return int(value)


def mine(world: World, chat: Chat, params: Json, doing: str) -> Json:
    """The bot's own message that a call changes."""
    message = chat.messages.get(int(params["message_id"]))
    if message is None:
        raise bad(f"message to {doing} not found")
    if doing == "edit" and message["from"]["id"] != world.bot["id"]:
        raise bad("message can't be edited")
    return message


# -- sending -----------------------------------------------------------------------------------


def send(world: World, params: Json, **content: Any) -> Json:
    chat = reachable(world, params)
    return world.place(
        chat,
        world.bot,
        thread(chat, params),
        **content,
        reply_to_message=replied(chat, params),
        reply_markup=markup(params),
    )


def send_message(world: World, params: Json) -> Json:
    content = body(params, "text", MAX_TEXT)
    if not content["text"].strip():
        raise bad("message text is empty")
    return send(world, params, **content)


def photo_sizes(world: World, value: "Upload | str") -> list[Json]:
    """The sizes of an uploaded or known photo, as a message carries them."""
    if isinstance(value, str):
        if value not in world.files:
            raise bad("wrong file identifier/HTTP URL specified")
        data, file_id = world.files[value][1], value
    else:
        data, file_id = value.data, world.store(value.data, ".jpg")
    if len(data) > 10_000_000:
        raise ApiError(413, "Request Entity Too Large")
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError):
        raise bad("IMAGE_PROCESS_FAILED") from None
    sizes: list[Json] = []
    for side in (90, 320, max(width, height)):
        scale = min(1.0, side / max(width, height))
        sizes.append(
            {
                "file_id": file_id,
                "file_unique_id": f"u{file_id}-{side}",
                "width": max(1, round(width * scale)),
                "height": max(1, round(height * scale)),
                "file_size": len(data),
            }
        )
    return sizes


def document(world: World, value: "Upload | str", name: str | None = None) -> Json:
    if isinstance(value, str):
        file_id = value
    else:
        file_id, name = world.store(value.data, ".bin"), name or value.name
    return {
        "file_id": file_id,
        "file_unique_id": f"u{file_id}",
        "file_name": name or "file",
        "file_size": len(world.files[file_id][1]),
    }


def send_photo(world: World, params: Json) -> Json:
    content = body(params, "caption", MAX_CAPTION)
    if not reachable(world, params).may_send_photos:
        raise bad("not enough rights to send photos to the chat")
    return send(world, params, photo=photo_sizes(world, params["photo"]), **content)


def send_document(world: World, params: Json) -> Json:
    content = body(params, "caption", MAX_CAPTION)
    return send(world, params, document=document(world, params["document"]), **content)


def send_media_group(world: World, params: Json) -> list[Json]:
    reachable(world, params)
    items = params["media"]
    if not 2 <= len(items) <= 10:
        raise bad("wrong number of media in the album")
    group = f"sent-{world.ticks}"
    sent = []
    for item in items:
        source = item["media"]
        if isinstance(source, str) and source.startswith("attach://"):
            source = params[source.removeprefix("attach://")]
        content = body(item, "caption", MAX_CAPTION)
        sizes = photo_sizes(world, source)
        sent.append(send(world, params, photo=sizes, media_group_id=group, **content))
    return sent


def send_chat_action(world: World, params: Json) -> bool:
    reachable(world, params).actions.append(params["action"])
    return True


def send_message_draft(world: World, params: Json) -> bool:
    chat = reachable(world, params)
    if world.refuses_drafts:
        raise bad("method sendMessageDraft is not available for this bot")
    if chat.info["type"] != "private":
        raise bad("chat must be a private chat")
    if not int(params.get("draft_id") or 0):
        raise bad("draft_id must be non-zero")
    content = body(params, "text", MAX_TEXT)
    chat.draft = {
        **content,
        "draft_id": int(params["draft_id"]),
        "can_stop": params.get("can_stop"),
    }
    chat.drafts.append(content["text"])
    world.tick()
    return True


# -- changing ----------------------------------------------------------------------------------


def edit(world: World, params: Json, change: Json, limit_to: tuple[str, ...]) -> Json:
    chat = reachable(world, params)
    message = mine(world, chat, params, "edit")
    keyboard = markup(params)
    before = {k: message.get(k) for k in (*limit_to, "reply_markup")}
    after = {k: change.get(k) for k in limit_to} | {"reply_markup": keyboard}
    if before == after:
        raise bad(
            "message is not modified: specified new message content and reply markup are "
            "exactly the same as a current content and reply markup of the message"
        )
    for key, value in after.items():
        if value is None:
            message.pop(key, None)
        else:
            message[key] = value
    message["edit_date"] = int(world.clock())
    world.note(chat, message)
    return message


def edit_message_text(world: World, params: Json) -> Json | bool:
    if params.get("inline_message_id"):
        return edit_inline_text(world, params)
    content = body(params, "text", MAX_TEXT)
    if not content["text"].strip():
        raise bad("message text is empty")
    return edit(world, params, content, ("text", "entities"))


def edit_message_caption(world: World, params: Json) -> Json:
    return edit(
        world, params, body(params, "caption", MAX_CAPTION), ("caption", "caption_entities")
    )


def edit_message_reply_markup(world: World, params: Json) -> Json:
    return edit(world, params, {}, ())


def edit_message_media(world: World, params: Json) -> Json:
    media = params["media"]
    source = media["media"]
    if source.startswith("attach://"):
        source = params[source.removeprefix("attach://")]
    change = {"photo": photo_sizes(world, source), **body(media, "caption", MAX_CAPTION)}
    for field in ("text", "entities"):  # a text message becomes one with a picture
        mine(world, reachable(world, params), params, "edit").pop(field, None)
    return edit(world, params, change, ("photo", "caption", "caption_entities"))


def delete_message(world: World, params: Json) -> bool:
    chat = reachable(world, params)
    mine(world, chat, params, "delete")
    del chat.messages[int(params["message_id"])]
    world.tick()
    return True


def set_message_reaction(world: World, params: Json) -> bool:
    chat = reachable(world, params)
    message = chat.messages.get(int(params["message_id"]))
    if message is None:
        raise bad("message to react not found")
    message["reactions_by_bot"] = params.get("reaction") or []
    world.note(chat, message)
    return True


# -- answering queries -------------------------------------------------------------------------


def answer_query(world: World, params: Json, field: str) -> Json | bool:
    query_id = str(params.get(field))
    if query_id not in world.queries:
        raise bad("query is too old and response timeout expired or query ID is invalid")
    world.queries[query_id] = params
    world.tick()
    return True


def answer_callback_query(world: World, params: Json) -> Json | bool:
    if utf16(str(params.get("text") or "")) > 200:
        raise bad("MESSAGE_TOO_LONG")
    return answer_query(world, params, "callback_query_id")


def answer_inline_query(world: World, params: Json) -> Json | bool:
    if len(params.get("results") or []) > 50:
        raise bad("RESULTS_TOO_MUCH")
    return answer_query(world, params, "inline_query_id")


def answer_guest_query(world: World, params: Json) -> Json | bool:
    """The one answer a guest query takes; it becomes a message that may be edited."""
    if world.queries.get(str(params.get("guest_query_id"))) is not None:
        raise bad("query is already answered")
    answer_query(world, params, "guest_query_id")
    inline_id = f"guest-{params['guest_query_id']}"
    world.inline[inline_id] = [str(params["result"]["input_message_content"]["message_text"])]
    return {"inline_message_id": inline_id}


def edit_inline_text(world: World, params: Json) -> bool:
    """editMessageText of a message that is in no chat of ours."""
    said = world.inline.get(str(params["inline_message_id"]))
    if said is None:
        raise bad("MESSAGE_ID_INVALID")
    text = body(params, "text", MAX_TEXT)["text"]
    if said[-1] == text:
        raise bad("message is not modified")
    said.append(text)
    world.tick()
    return True


# -- files, profile, membership, delivery ------------------------------------------------------


def get_file(world: World, params: Json) -> Json:
    if params["file_id"] not in world.files:
        raise bad("wrong file_id or the file is temporarily unavailable")
    path, data = world.files[params["file_id"]]
    if len(data) > MAX_DOWNLOAD:
        raise bad("file is too big")
    return {
        "file_id": params["file_id"],
        "file_unique_id": "u" + params["file_id"],
        "file_size": len(data),
        "file_path": path,
    }


def get_chat(world: World, params: Json) -> Json:
    return {**reachable(world, params).info, "accent_color_id": 0, "max_reaction_count": 11}


def get_chat_member(world: World, params: Json) -> Json:
    chat = reachable(world, params)
    user_id = int(params["user_id"])
    if user_id == world.bot["id"]:
        user = world.bot
    elif user_id in world.users:
        user = world.users[user_id]
    else:
        raise bad("PARTICIPANT_ID_INVALID")
    return member(user, chat.members.get(user_id, "left"))


RIGHTS = (
    "can_be_edited", "is_anonymous", "can_manage_chat", "can_delete_messages",
    "can_manage_video_chats", "can_restrict_members", "can_promote_members", "can_change_info",
    "can_invite_users", "can_post_stories", "can_edit_stories", "can_delete_stories",
)  # fmt: skip


def member(user: Json, status: str) -> Json:
    """A ChatMember of the Bot API."""
    extra: Json = {}
    if status == "administrator":
        extra = dict.fromkeys(RIGHTS, False)
    if status == "creator":
        extra = {"is_anonymous": False}
    if status == "kicked":
        extra = {"until_date": 0}
    return {"user": user, "status": status, **extra}


def get_chat_administrators(world: World, params: Json) -> list[Json]:
    chat = reachable(world, params)
    everyone = {**world.users, world.bot["id"]: world.bot}
    return [
        member(everyone[user_id], status)
        for user_id, status in chat.members.items()
        if status in ("administrator", "creator")
    ]


def leave_chat(world: World, params: Json) -> bool:
    chat = reachable(world, params)
    chat.members[world.bot["id"]] = "left"
    chat.refuses = ApiError(403, f"Forbidden: bot is not a member of the {chat.info['type']} chat")
    return True


def remember(name: str) -> Callable[[World, Json], bool]:
    def setter(world: World, params: Json) -> bool:
        if (params.get("scope") or {}).get("type") in world.refuses_scopes:
            raise bad("chat not found")
        key = json.dumps([name, params.get("scope"), params.get("language_code") or ""])
        world.profile[key] = params
        return True

    return setter


def recall(name: str, field: str, empty: Any) -> Callable[[World, Json], Any]:
    def getter(world: World, params: Json) -> Any:
        key = json.dumps([name, params.get("scope"), params.get("language_code") or ""])
        value = world.profile.get(key, {}).get(field, empty)
        return value if isinstance(empty, list) else {field: value}

    return getter


def set_webhook(world: World, params: Json) -> bool:
    if params.get("drop_pending_updates"):
        world.updates.clear()
    url = params.get("url", "")
    if not url.startswith(("https://", "http://127.0.0.1:")) and url:  # the latter: only here
        raise ApiError(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
    world.webhook = {"url": url, "secret": params.get("secret_token")}
    allow(world, params)
    world.tick()
    return True


def delete_webhook(world: World, params: Json) -> bool:
    return set_webhook(world, {**params, "url": ""})


def get_webhook_info(world: World, params: Json) -> Json:
    return {
        "url": world.webhook["url"],
        "has_custom_certificate": False,
        "pending_update_count": len(world.updates),
    }


def allow(world: World, params: Json) -> None:
    """allowed_updates holds until the next call that names it; an empty list is the default."""
    if params.get("allowed_updates") is not None:
        world.allowed = set(params["allowed_updates"]) or None


METHODS: dict[str, Callable[[World, Json], Any]] = {
    "getme": lambda world, params: world.bot,
    "sendmessage": send_message,
    "sendphoto": send_photo,
    "senddocument": send_document,
    "sendmediagroup": send_media_group,
    "sendchataction": send_chat_action,
    "sendmessagedraft": send_message_draft,
    "editmessagetext": edit_message_text,
    "editmessagecaption": edit_message_caption,
    "editmessagereplymarkup": edit_message_reply_markup,
    "editmessagemedia": edit_message_media,
    "deletemessage": delete_message,
    "setmessagereaction": set_message_reaction,
    "answercallbackquery": answer_callback_query,
    "answerinlinequery": answer_inline_query,
    "answerguestquery": answer_guest_query,
    "getfile": get_file,
    "getchat": get_chat,
    "getchatmember": get_chat_member,
    "getchatadministrators": get_chat_administrators,
    "leavechat": leave_chat,
    "setmycommands": remember("commands"),
    "getmycommands": recall("commands", "commands", []),
    "deletemycommands": remember("commands"),
    "setmydescription": remember("description"),
    "getmydescription": recall("description", "description", ""),
    "setmyshortdescription": remember("short"),
    "getmyshortdescription": recall("short", "short_description", ""),
    "setmyname": remember("name"),
    "getmyname": recall("name", "name", "Food Critic"),
    "setchatmenubutton": remember("menu"),
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
}
