"""The wheel holds what is read at run time beside the modules: statements and the words of mails."""

import asyncio
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BUILD_SECONDS = 60.0
RENDER_ALL = """
import sys
sys.path.insert(0, sys.argv[1])
from projectors.mail_text import MAIL_KINDS, render_mail
from readmodels.tables import READ_MODELS, definition_of
assert all(map(definition_of, READ_MODELS))
for kind in MAIL_KINDS:
    reason = "totp-enrolled" if kind == "factors-changed" else "sign-in-failures"
    render_mail(kind, at="a", until="b", code="c", reason=reason)
print(render_mail.__code__.co_filename)
"""


async def run(*command: str, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(BUILD_SECONDS):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().strip()


async def test_the_wheel_renders_every_mail_and_holds_every_statement(tmp_path: Path) -> None:
    await run("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist"), folder=ROOT)
    (wheel,) = (tmp_path / "dist").glob("chancery-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    rendered_by = await run("-I", "-c", RENDER_ALL, str(tmp_path / "site"), folder=tmp_path)
    assert Path(rendered_by).is_relative_to(tmp_path / "site")
    for package in ("eventstore", "projectors", "readmodels"):
        here = {str(file.relative_to(ROOT)) for file in (ROOT / package).rglob("*.sql")}
        assert {name for name in here if not (tmp_path / "site" / name).exists()} == set()
