"""Publishing a version: its files and a model card, to Hugging Face or ModelScope.

`plan` says what would go where and touches no network; `upload` does it. Large files go the hub's
own way (Xet or LFS, in parts, resumed when cut off). Whoever is logged in publishes: HF_TOKEN or
``hf auth login``; MODELSCOPE_API_TOKEN.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from foodcritic.errors import ModelError
from foodcritic.registry import Version
from foodcritic.settings import Settings

Hub = Literal["huggingface", "modelscope"]

#: OWNER/NAME as both hubs allow it.
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_ADDRESS: Final[dict[Hub, str]] = {
    "huggingface": "https://huggingface.co/{}",
    "modelscope": "https://modelscope.cn/models/{}",
}
_LOGIN: Final[dict[Hub, str]] = {
    "huggingface": "set HF_TOKEN to a token with write access, or run: hf auth login",
    "modelscope": "set MODELSCOPE_API_TOKEN to your access token",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be published."""

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
        return _ADDRESS[self.hub].format(self.repository)


def plan(settings: Settings, version: Version, repository: str, hub: Hub) -> Plan:
    """What publishing this version means.

    Raises:
        ModelError: the name is none, or does not say InternVL; the files are gone.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ModelError(f"{repository} is no repository: write OWNER/NAME")
    if "internvl" not in repository.partition("/")[2].lower():
        raise ModelError(
            f"{repository}: the name must contain InternVL, as its licence's users expect and "
            "tools choose the chat template by it"
        )
    folder = version.folder(settings)
    if not folder.is_dir():
        raise ModelError(f"{version.name}: its folder {folder} is gone")
    files = tuple(
        (path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "README.md"
    )
    made = card(version, repository)
    return Plan(folder=folder, repository=repository, hub=hub, files=files, card=made)


def card(version: Version, repository: str) -> str:
    """The model card: what it is, from what, how it was judged, what it must not be used for."""
    report: dict[str, Any] = version.report or {}
    rows = "\n".join(
        f"| {r['part']} | {r['n'] or ''} | {_percent(r['live'])} | {_percent(r['candidate'])} |"
        for r in report.get("reasons", ())
    )
    base = version.base or "InternVL2"
    known = f"base_model: {base}\n" if _REPOSITORY.fullmatch(base) else ""
    verdict = "passed" if report.get("passed") else "did not pass"
    judged = (
        f"It {verdict} foodcritic's gate against the model that served before:\n\n"
        f"| part | n | before | this model |\n|---|---|---|---|\n{rows}\n"
        if rows
        else "It was not judged by foodcritic's gate.\n"
    )
    return f"""---
library_name: transformers
pipeline_tag: image-text-to-text
{known}language: [zh, en]
tags: [internvl, food, foodcritic]
---

# {repository.partition("/")[2]}

A food critic: an InternVL2 that names the dish in a photo, scores it and argues its case, in
Chinese and English. Version `{version.name}`, trained from `{base}` on corrections by people who
agreed to it.

{judged}
## Limits

It learnt from one bot's users and knows their dishes best. Allergens, calories and scores are
guesses: nobody's health may depend on them. It may repeat what people taught it, mistakes included.

## Use

The folder is an InternVLChatModel checkpoint: transformers (`trust_remote_code=True`), LMDeploy, or
`FOODCRITIC_MODEL=<folder> foodcritic ask photo.jpg`.
"""


def upload(made: Plan, *, private: bool) -> str:
    """Publish; the address.

    Raises:
        ModelError: the hub refused it or cannot be reached; what to do about it.
    """
    with tempfile.TemporaryDirectory(prefix="foodcritic-card-") as temporary:
        readme = Path(temporary) / "README.md"
        readme.write_text(made.card, encoding="utf-8")
        try:
            if made.hub == "huggingface":
                _huggingface(made, readme, private)
            else:
                _modelscope(made, readme, private)
        except ImportError as error:
            raise ModelError(
                f"{error.name} is not installed: uv pip install {error.name}"
            ) from error
        except Exception as error:  # the hubs' libraries let their transports' errors through
            raise ModelError(f"{made.address}: {error}; {_LOGIN[made.hub]}") from error
    return made.address


def _huggingface(made: Plan, readme: Path, private: bool) -> None:
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(made.repository, private=private, exist_ok=True)
    # Its own README.md describes the base.
    api.upload_folder(
        repo_id=made.repository, folder_path=made.folder, ignore_patterns=["README.md"]
    )
    api.upload_file(repo_id=made.repository, path_or_fileobj=readme, path_in_repo="README.md")


def _modelscope(made: Plan, readme: Path, private: bool) -> None:
    from modelscope.hub.api import HubApi

    api = HubApi()
    api.login(os.environ.get("MODELSCOPE_API_TOKEN", ""))
    api.create_repo(
        repo_id=made.repository,
        repo_type="model",
        visibility="private" if private else "public",
        exist_ok=True,
    )
    api.upload_folder(
        repo_id=made.repository, folder_path=str(made.folder), ignore_patterns=["README.md"]
    )
    api.upload_file(repo_id=made.repository, path_or_fileobj=str(readme), path_in_repo="README.md")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
