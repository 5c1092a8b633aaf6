"""What an installation holds: every file of the packages that the program opens."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bot", "engine", "foodcritic", "migrations", "training", "web")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
#: Made by running things, or only of use in a checkout.
ELSEWHERE = {"__pycache__", "tests"}


def files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in ELSEWHERE or path.name.startswith("."):
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def package_of(path: Path) -> Path:
    """The innermost package around a file."""
    folder = path.parent
    while not (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def test_a_wheel_holds_every_file_of_the_packages() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    found = [path for name in PACKAGES for path in files(ROOT / name)]
    assert len(found) > 200
    for path in found:
        package = package_of(path)
        if path.suffix == ".py" and path.parent == package:
            continue
        patterns = data.get(".".join(package.relative_to(ROOT).parts), ())
        held = any(path in package.glob(pattern) for pattern in patterns)
        assert held, f"no pattern of package-data names {path.relative_to(ROOT)}"


def test_every_package_is_found() -> None:
    find = PROJECT["tool"]["setuptools"]["packages"]["find"]
    assert {f"{name}*" for name in PACKAGES} == set(find["include"])
