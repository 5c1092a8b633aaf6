"""Imports point one way, and heavy libraries stay behind the file that wraps them."""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
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
    "lmdeploy": ("engine/lmdeploy.py", "engine/turbomind.py", "engine/mortal.py", "benchmarks/"),
    "openai": ("engine/openai.py", "engine/refusals.py"),
    "torch": (
        *("training/", "engine/nano/", "benchmarks/"),
        *(
            "engine/lmdeploy.py",
            "engine/turbomind.py",
            "engine/blocks.py",
            "engine/internvit.py",
            "engine/kernels.py",
        ),
    ),
    "triton": ("engine/kernels.py",),
    "transformers": ("training/", "engine/nano/", "engine/lmdeploy.py", "benchmarks/"),
    "xtuner": ("training/xtuner/", "benchmarks/"),
    "deepspeed": ("training/xtuner/",),
    "telegram": ("bot/", "tests/"),
    "gradio": ("web/blocks.py",),
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


# In a transaction nothing may ask for a second connection: SQLite has one writer, a pool an end.


def is_database(node: ast.AST) -> bool:
    """``db``, ``desk.db``; and ``desk``, which carries one."""
    return (isinstance(node, ast.Name) and node.id in ("db", "desk")) or (
        isinstance(node, ast.Attribute) and node.attr in ("db", "_db")
    )


def is_session(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "session"


def opens(node: ast.AST) -> bool:
    """``db.read()`` or ``db.write()``."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("read", "write")
        and is_database(node.func.value)
    )


def in_transactions(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs in one: the blocks of ``async with db.read()`` and functions given a session."""
    bodies: list[Iterable[ast.stmt]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith) and any(opens(i.context_expr) for i in node.items):
            bodies.append(node.body)
        elif isinstance(node, ast.AsyncFunctionDef):
            given = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if any(argument.arg == "session" for argument in given):
                bodies.append(node.body)
    for body in bodies:
        for statement in body:
            yield from ast.walk(statement)


def second_connections(source: str) -> list[int]:
    """The lines that ask for a connection while they hold one."""
    found = set()
    for node in in_transactions(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if opens(node) or (any(map(is_database, given)) and not any(map(is_session, given))):
            found.add(node.lineno)
    return sorted(found)


PLANTED = {
    "a read in a write": """
async with db.write() as session:
    async with db.read() as other:
        pass
""",
    "a call that will": """
async with desk.db.read() as session:
    if user:
        await bans.banned(desk.db, user)
""",
    "by keyword": """
async with db.read() as session:
    return [await queue.get(db=db, job_id=1)]
""",
    "a task": """
async with db.write(durable=False) as session:
    await asyncio.gather(one(self.db), two())
""",
    "through the desk": """
async with desk.db.read() as session:
    await language(desk, user)
""",
    "in a function of a transaction": """
async def ask(session, db):
    await queue.get(db, 1)
""",
}
HARMLESS = """
async def f(session: AsyncSession, db: Database) -> None:
    await session.execute(db.insert(table).values(created=db.now()))
    await g(session, db)
async with db.write() as session:
    await audit.note(session, db, actor)
    db.ring(session, "jobs")
await queue.get(db, 1)
"""


@pytest.mark.parametrize("name", PLANTED)
def test_a_second_connection_is_seen(name: str) -> None:
    """The check below finds what it looks for."""
    body = textwrap.indent(PLANTED[name], "    ")
    assert len(second_connections(f"async def handler(self, db, desk, user):{body}")) == 1


def test_one_connection_at_a_time_is_harmless() -> None:
    """The same transaction handed on, and what comes after it, are no offence."""
    body = textwrap.indent(HARMLESS, "    ")
    assert second_connections(f"async def handler(db):{body}") == []


def test_nothing_asks_for_a_second_connection_in_a_transaction() -> None:
    """Where all hold one and wait for another, all wait for ever."""
    wrong = {
        str(path.relative_to(ROOT)): lines
        for path in modules(*ALLOWED, "benchmarks", "tests")
        if (lines := second_connections(path.read_text(encoding="utf-8")))
    }
    assert wrong == {}


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_every_page_can_be_found_from_the_readme(readme: str) -> None:
    """And no link leads nowhere."""
    found, new = set[Path](), {ROOT / readme}
    while new:
        page = new.pop()
        found.add(page)
        linked = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        there = {(page.parent / link).resolve() for link in linked}
        assert not [path for path in there if not path.exists()], page
        new |= {path for path in there if path.suffix == ".md"} - found
    assert {*(ROOT / "docs").glob("*.md")} <= found
