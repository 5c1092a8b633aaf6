"""A keyed hash that stands for a person: what is left of them where a name must not be kept.

HMAC-SHA256 (RFC 2104) over channel and number. Telegram's numbers are few enough to hash them all,
so that without a key the hash would be the number. The key is FOODCRITIC_HASH_KEY, or a file made
once in the home folder; several hosts with one database need the same key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Final

from foodcritic.errors import SettingsError
from foodcritic.settings import Settings

#: of the file, in the home folder
KEY_FILE: Final = "hash.key"
_BYTES: Final = 32


def of(settings: Settings, channel: str, user_id: int) -> str:
    """The pseudonym of a person: 64 hexadecimal digits.

    Raises:
        SettingsError: the key's file cannot be read or written.
    """
    if settings.hash_key is not None:
        key = settings.hash_key.get_secret_value().encode()
    else:
        key = _key(settings.home / KEY_FILE)
    return hmac.new(key, f"{channel}:{user_id}".encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=8)
def _key(path: Path) -> bytes:
    try:
        if not path.exists():
            _make(path)
        key = bytes.fromhex(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} holds no key ({error}): restore it from a backup, or set FOODCRITIC_HASH_KEY;"
            " a new key forgets who is banned"
        ) from error
    if len(key) != _BYTES:
        raise SettingsError(f"{path} holds {len(key)} bytes, not {_BYTES}: restore it")
    return key


def _make(path: Path) -> None:
    """Write a fresh key whole, or leave the one that another process wrote first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
