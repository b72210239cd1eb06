"""The SDK stands alone: it builds, holds all that it needs, and imports nothing of the platform."""

import ast
import asyncio
import sys
import zipfile
from pathlib import Path

SDK = Path(__file__).parent.parent.parent / "sdk"
ALLOWED = {"aiokafka", "chancery_sdk"} | sys.stdlib_module_names
EXTRAS = {
    "postgres": {"asyncpg"},
    "claims": {"cryptography", "jwt"},
    "token_feed": {"httpx"},
    "fastapi": {"fastapi"},
    "grpc": {"grpc"},
    "traces": {"opentelemetry"},
}
"""Modules that need what the package installs only on demand."""


def imported_by(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_it_imports_nothing_of_the_platform() -> None:
    for file in (SDK / "chancery_sdk").glob("*.py"):
        allowed = ALLOWED | EXTRAS.get(file.stem, set())
        assert imported_by(file) <= allowed, file.name


async def test_its_wheel_holds_all_that_it_needs(tmp_path: Path) -> None:
    build = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist"), cwd=SDK
    )
    assert await build.wait() == 0
    (wheel,) = (tmp_path / "dist").glob("chancery_sdk-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    modules = sorted(file.stem for file in (SDK / "chancery_sdk").glob("*.py") if file.stem != "__init__")
    code = f"import sys; sys.path.insert(0, sys.argv[1]); from chancery_sdk import {', '.join(modules)}; print(events.__file__)"
    ended = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", code, str(tmp_path / "site"), cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await ended.communicate()
    assert ended.returncode == 0
    assert Path(out.decode().strip()).is_relative_to(tmp_path / "site")
    assert (tmp_path / "site" / "chancery_sdk" / "py.typed").exists()
