"""Publishing a version: its files and a model card, to Hugging Face or ModelScope.

    plan ─▶ what would go where; no network ─▶ upload ─▶ files (LFS or Xet) ─▶ one commit

Large files go the hub's own way, in parts; the repository changes once all of them are there, and
what is there is not sent again by the next try. Whoever is logged in publishes: HF_TOKEN or
``hf auth login``; MODELSCOPE_API_TOKEN.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from engine.datasets import DatasetError
from foodcritic import registry
from foodcritic.errors import ModelError
from foodcritic.registry import Version
from foodcritic.runs import Run
from foodcritic.settings import Settings
from training import dataset, model_card

Hub = Literal["huggingface", "modelscope"]

_LOGIN: Final[dict[Hub, str]] = {
    "huggingface": "set HF_TOKEN to a token with write access, or run: hf auth login",
    "modelscope": "set MODELSCOPE_API_TOKEN to your access token",
}
CARD: Final = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be published."""

    version: Version
    folder: Path
    repository: str
    hub: Hub
    #: Path in the repository, bytes; the card is not among them.
    files: tuple[tuple[str, int], ...]
    card: str

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(size for _, size in self.files)

    @property
    def address(self) -> str:
        """Where people will find it."""
        if self.hub == "modelscope":
            return f"https://modelscope.cn/models/{self.repository}"
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{self.repository}"


def plan(
    settings: Settings, version: Version, repository: str, hub: Hub, run: Run | None = None
) -> Plan:
    """What publishing this version means; `run` is the one that made it.

    Raises:
        ModelError: the name is none, or does not say InternVL; the files are gone; somebody has
            taken back what it learnt.
    """
    if not model_card.REPOSITORY.fullmatch(repository):
        raise ModelError(f"{repository} is no repository: write OWNER/NAME")
    owner, _, name = repository.partition("/")
    if "internvl" not in name.lower():
        base = model_card.named(version.base)
        base = base.rpartition("/")[2] if "internvl" in base.lower() else "InternVL2"
        raise ModelError(
            f"{repository}: the name must contain InternVL, by which people and tools know what it "
            f"is and how to ask it: {owner}/{base}-{name}"
        )
    folder = version.folder(settings)
    if not folder.is_dir():
        raise ModelError(f"{version.name}: its folder {folder} is gone")
    learnt = None
    if run is not None and run.dataset is not None:
        try:
            learnt = dataset.find(settings.home, run.dataset).card()
        except DatasetError as error:
            raise ModelError(
                f"{version.name} is not published: {error}. Train again, and publish that"
            ) from error
    files = tuple(
        (path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != CARD  # its own describes the base
    )
    made = model_card.write(version, repository, folder, run, learnt)
    return Plan(
        version=version, folder=folder, repository=repository, hub=hub, files=files, card=made
    )


def upload(made: Plan, *, private: bool) -> str:
    """Publish; the address.

    Raises:
        ModelError: the files are not what was judged; the hub refused them or cannot be reached,
            and what to do about it.
    """
    if registry.digest(made.folder) != made.version.sha256:
        raise ModelError(f"{made.version.name}: {made.folder} is not what was judged: it changed")
    try:
        if made.hub == "huggingface":
            _huggingface(made, private)
        else:
            _modelscope(made, private)
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(f"{error.name} is not installed: uv pip install {error.name}") from error
    except Exception as error:  # the hubs' libraries let their transports' errors through
        raise ModelError(f"{made.address}: {_why(error, made.hub)}") from error
    return made.address


def _why(error: Exception, hub: Hub) -> str:
    """What a hub's error means, and what to do."""
    one: BaseException | None = error
    while one is not None:  # what it came of may say more
        status = getattr(getattr(one, "response", None), "status_code", None) or getattr(
            one, "status_code", None
        )
        if status == 401:
            return f"the hub does not know who you are: {_LOGIN[hub]}"
        if status == 403:
            return f"whoever is logged in may not write there: {_LOGIN[hub]}, or another OWNER"
        one = one.__cause__ or one.__context__
    if type(error).__name__ in ("LocalTokenNotFoundError", "AuthenticationError"):
        return f"the hub does not know who you are: {_LOGIN[hub]}"
    parts = [error, error.__cause__] if error.__cause__ else [error]
    said = "; ".join(next(iter(str(e).strip().splitlines()), type(e).__name__) for e in parts)
    return (
        f"{said} — nothing was published: try again, what has arrived is not sent twice; if it "
        f"stays so, {_LOGIN[hub]}"
    )


def _huggingface(made: Plan, private: bool) -> None:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    api.create_repo(made.repository, private=private, exist_ok=True)
    if private and not api.model_info(made.repository).private:
        raise ModelError(f"{made.address} is public: say --public, or choose another name")
    added = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=made.folder / name)
        for name, _ in made.files
    ]
    added.append(CommitOperationAdd(path_in_repo=CARD, path_or_fileobj=made.card.encode()))
    message = f"{made.version.name}: a food critic"
    api.create_commit(made.repository, operations=added, commit_message=message)


def _modelscope(made: Plan, private: bool) -> None:
    from modelscope.hub.api import HubApi

    api = HubApi()
    api.login(os.environ.get("MODELSCOPE_API_TOKEN", ""))
    found = model_card.licence(made.folder)
    api.create_repo(
        repo_id=made.repository,
        repo_type="model",
        visibility="private" if private else "public",
        license=found[0].partition(":")[2].strip() if found else "other",  # else: Apache's
        exist_ok=True,
    )
    with _staged(made) as folder:
        api.upload_folder(repo_id=made.repository, folder_path=str(folder))


@contextmanager
def _staged(made: Plan) -> Iterator[Path]:
    """The files and the card in a folder of their own: its client keeps its notes beside them."""
    folder = made.folder.with_name(f".part-publish-{made.version.name}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for name, _ in made.files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(made.folder / name, target)
            except OSError:
                shutil.copy2(made.folder / name, target)
        (folder / CARD).write_text(made.card, encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
