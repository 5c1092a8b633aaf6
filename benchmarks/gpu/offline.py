"""What foodcritic and LMDeploy need on a GPU machine without a network, in one small file.

    python -m benchmarks.gpu.offline OUT.tar.xz [WHEEL…] [--python 3.12]
    there: mkdir SITE && tar -C SITE -xJf OUT.tar.xz, then PYTHONPATH=SITE python -m foodcritic …

Run it with a Python that has pip. It downloads the wheels of `OURS` in the versions of
requirements.lock, adds those given (LMDeploy's and what it needs beyond the machine's own torch),
and leaves out what no program reads. Where two hold the same file, the first one wins: ours, then
those given in their order.
"""

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

#: What the worker imports that a machine with torch and transformers does not have.
OURS: Final = (
    *("aiosqlite", "alembic", "budoux", "fluent-runtime", "greenlet", "httpcore2", "httpx2"),
    *("mako", "openai", "pillow-heif", "pydantic-settings", "python-dotenv", "sqlalchemy"),
    *("structlog", "truststore"),
)
LOCK: Final = Path(__file__).parents[2] / "requirements.lock"
PLATFORMS: Final = ("_2_28", "_2_27", "_2_24", "_2_17", "2014")
UNREAD: Final = re.compile(r"(^|/)(tests?|__pycache__)/|\.pyi$|\.data/")


def wheels(folder: Path, python: str) -> list[Path]:
    """Download ours."""
    versions = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK.read_text("utf-8"), re.MULTILINE))
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    for platform in PLATFORMS:
        command += ["--platform", f"manylinux{platform}_x86_64"]
    subprocess.run([*command, *(f"{name}=={versions[name]}" for name in OURS)], check=True)
    return sorted(folder.glob("*.whl"))


def pack(out: Path, found: list[Path]) -> None:
    """Write the files of all wheels; those of one package come together, for the packer's sake."""
    taken: set[str] = set()
    packages: set[str] = set()
    with tempfile.TemporaryDirectory() as made, tarfile.open(out, "w:xz", preset=9) as tar:
        for wheel in found:
            package = wheel.name.partition("-")[0].lower()
            if package in packages:
                continue
            packages.add(package)
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if name.endswith("/") or name in taken or UNREAD.search(name):
                        continue
                    taken.add(name)
                    tar.add(archive.extract(name, made), name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("wheels", type=Path, nargs="*")
    parser.add_argument("--python", default="3.12")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack(given.out, [*wheels(Path(folder), given.python), *given.wheels])
    sys.stderr.write(f"{given.out}: {given.out.stat().st_size / 2**20:.1f} MiB\n")


if __name__ == "__main__":
    main()
