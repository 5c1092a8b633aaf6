"""Why a command cannot have its database, said in one line that names the thing and the remedy.

with outage.explained(settings): …        what the driver, the disk or Alembic raise
                                          becomes a SettingsError
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa
from alembic.util import CommandError

from foodcritic.errors import SettingsError
from foodcritic.settings import Settings


@contextlib.contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Raises `SettingsError` for a database that cannot be had, other errors as they are."""
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
    return SettingsError(f"{_where(settings)}: {_reason(error)}. {_remedy(settings)}")


def _where(settings: Settings) -> str:
    url = sa.make_url(settings.database)
    if url.get_backend_name() == "sqlite":
        return f"the database {url.database}"
    place = url.query.get("host") or url.host or "localhost"
    return f"the database {url.database or ''} at {place}:{url.port or url.query.get('port', 5432)}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror or error}"
    inner = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig else error
    return str(inner).strip().rstrip(".").splitlines()[0] if str(inner).strip() else repr(inner)


def _remedy(settings: Settings) -> str:
    if sa.make_url(settings.database).get_backend_name() == "sqlite":
        return "FOODCRITIC_HOME must be a folder this user may write to, on a disk with room"
    return "Is it running, and is FOODCRITIC_DATABASE_URL right?"
