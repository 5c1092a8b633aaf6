"""Imports point one way, and heavy libraries stay behind the file that wraps them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What a package may import of ours, besides itself.
ALLOWED = {
    "foodcritic": set(),
    "bot": {"foodcritic"},
    "web": {"foodcritic"},
    "engine": {"foodcritic"},
    "migrations": {"foodcritic"},
    "training": {"foodcritic", "engine"},
}
#: The composition root imports everything, lazily.
ROOTS = {"foodcritic/cli.py", "foodcritic/serve.py", "foodcritic/__main__.py"}
#: A heavy library, and where it may be imported.
BEHIND = {
    "openvino": ("engine/", "benchmarks/"),
    "openvino_tokenizers": ("engine/",),
    "lmdeploy": ("engine/lmdeploy.py", "benchmarks/"),
    "openai": ("engine/openai.py",),
    "torch": ("training/", "engine/nano/", "engine/lmdeploy.py", "benchmarks/"),
    "transformers": ("training/", "engine/nano/", "engine/lmdeploy.py", "benchmarks/"),
    "xtuner": ("training/xtuner/", "benchmarks/"),
    "deepspeed": ("training/xtuner/",),
    "telegram": ("bot/", "tests/"),
    "gradio": ("web/",),
}


def modules(*packages: str) -> list[Path]:
    found = [p for name in packages for p in sorted((ROOT / name).rglob("*.py"))]
    return [p for p in found if ".venv" not in p.parts and "__pycache__" not in p.parts]


def imported(path: Path) -> set[str]:
    """The top-level packages a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package: str) -> None:
    """No package reaches against the arrow: bot, web, engine -> foodcritic <- training."""
    assert modules(package)
    wrong = {
        str(path.relative_to(ROOT)): sorted(extra)
        for path in modules(package)
        if str(path.relative_to(ROOT)) not in ROOTS
        and "tests" not in path.relative_to(ROOT).parts
        and (extra := (imported(path) & set(ALLOWED)) - ALLOWED[package] - {package})
    }
    assert wrong == {}


def test_heavy_libraries_stay_behind_their_file() -> None:
    """A user of the bot never imports torch, a user of the shell never imports Telegram."""
    wrong = {
        str(path.relative_to(ROOT)): sorted(names)
        for path in modules(*ALLOWED, "benchmarks")
        if (
            names := {
                library
                for library in imported(path) & set(BEHIND)
                if not str(path.relative_to(ROOT)).startswith(BEHIND[library])
            }
        )
    }
    assert wrong == {}


def test_the_composition_root_imports_lazily() -> None:
    """`foodcritic --help` must not load an engine, a bot or a web page."""
    for name in ROOTS & {str(p.relative_to(ROOT)) for p in modules("foodcritic")}:
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        eager = {
            node.module.split(".")[0]
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module
        } | {a.name.split(".")[0] for n in tree.body if isinstance(n, ast.Import) for a in n.names}
        assert not eager & ({"bot", "web", "engine", "training"} | set(BEHIND)), name


def test_the_shipped_model_carries_the_repositorys_own_code() -> None:
    """A checkpoint folder holds its modeling code; a change to ours must reach it."""
    ours = ROOT / "engine" / "nano"
    carried = sorted((ours / "model").glob("*.py"))
    assert [path.name for path in carried] == [
        "configuration_internvl_chat.py",
        "modeling_internvl_chat.py",
    ]
    for path in carried:
        assert path.read_bytes() == (ours / path.name).read_bytes(), path.name
