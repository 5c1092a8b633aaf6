"""A database or disk that cannot be had: said in one line that names the thing and the remedy.

with outage.explained(settings): …        what the driver, the disk or Alembic raise
                                          becomes a SettingsError
await outage.outlasted(settings, name, part, stop)   run a part; where a disk is full or a server
                                          gone, wait and begin it anew: whatever it had stays in
                                          the inbox, the queue and the outbox
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import sqlalchemy as sa
import structlog

from foodcritic.errors import SettingsError
from foodcritic.settings import Settings

#: Seconds before a part is begun anew, and the most; each wait in a row is twice as long.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0

#: What SQLite says of a disk, and of a file that others hold.
_SQLITE: Final = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_CANTOPEN")
#: Of PostgreSQL's classes: connection, too little of something, an operator's order, the disk.
_POSTGRESQL: Final = ("08", "53", "57P", "58")
_DISK: Final = (errno.ENOSPC, errno.EDQUOT)

#: The remedy for what cannot be written there.
HOME: Final = "FOODCRITIC_HOME must be a folder this user may write to, on a disk with room"

log = structlog.get_logger(__name__)


def passes(error: BaseException) -> bool:
    """Whether an error is of a disk or server, and gone once these are well."""
    if isinstance(error, sa.exc.DBAPIError):
        name = str(getattr(error.orig, "sqlite_errorname", ""))
        state = str(getattr(error.orig, "sqlstate", None) or "")
        return (
            name.startswith(_SQLITE)
            or state.startswith(_POSTGRESQL)
            or error.connection_invalidated
            or isinstance(error, sa.exc.InterfaceError)
        )
    return isinstance(error, ConnectionError) or getattr(error, "errno", None) in _DISK


async def outlasted(
    settings: Settings,
    name: str,
    part: Callable[[], Awaitable[None]],
    stop: asyncio.Event,
    *,
    first_wait: float = FIRST_WAIT,
) -> None:
    """Run a part until it ends or `stop` is set; what does not pass is raised."""
    wait = first_wait
    while not stop.is_set():
        began = time.monotonic()
        try:
            await part()
            return
        except Exception as error:
            if not passes(error):
                raise
            wait = first_wait if time.monotonic() - began > LONGEST_WAIT else wait
            log.error("part.waits", part=name, reason=reason(settings, error), again_in=wait)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait)
        wait = min(wait * 2, LONGEST_WAIT)


def reason(settings: Settings, error: BaseException) -> str:
    """What is wrong and what to do, on one line."""
    if isinstance(error, OSError) and error.filename:  # any of the home folder
        return f"{error.filename}: {error.strerror}. {HOME}"
    why = _reason(error)
    return f"{_where(settings)}: {why}. {_remedy(settings, why)}"


@contextlib.contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Raises `SettingsError` for a database that cannot be had, other errors as they are."""
    # Who migrates needs it; it would be a twentieth of the start of the others.
    from alembic.util import CommandError

    try:
        yield
    except CommandError as error:
        if "locate revision" not in str(error):
            raise
        raise SettingsError(
            f"{_where(settings)} was made by a newer foodcritic: use that one, "
            "or the backup from before its upgrade"
        ) from error
    except (OSError, sa.exc.DatabaseError) as error:
        raise _said(settings, error) from error
    except Exception as error:  # asyncpg's own, which SQLAlchemy passes on while it connects
        if not type(error).__module__.startswith("asyncpg."):
            raise
        raise _said(settings, error) from error


@contextlib.contextmanager
def ended(settings: Settings) -> Iterator[None]:
    """Raises `SettingsError` for what no statement of ours is to blame for, the rest as it is."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise _said(settings, error) from error


def _said(settings: Settings, error: Exception) -> SettingsError:
    return SettingsError(reason(settings, error))


def _where(settings: Settings) -> str:
    url = sa.make_url(settings.database)
    if url.get_backend_name() == "sqlite":
        return f"the database {url.database}"
    place = url.query.get("host") or url.host or "localhost"
    return f"the database {url.database or ''} at {place}:{url.port or url.query.get('port', 5432)}"


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    inner = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig else error
    return str(inner).strip().rstrip(".").splitlines()[0] if str(inner).strip() else repr(inner)


def _remedy(settings: Settings, why: str) -> str:
    if sa.make_url(settings.database).get_backend_name() == "sqlite":
        if "malformed" in why or "not a database" in why:
            return "The file is damaged: put a backup in its place (docs/deploy.md)"
        return HOME
    return "Is it running, and is FOODCRITIC_DATABASE_URL right?"
