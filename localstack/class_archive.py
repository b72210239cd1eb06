"""Kafka's classes as Java keeps them ready to map (class-data sharing): half the broker's start time.

Java writes the archive from a running broker, once per machine and Java; one that does not fit is ignored by it.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

ABANDONED_SECONDS = 600.0
MAKING_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class ClassArchive:
    folder: Path
    java: Path

    @property
    def file(self) -> Path:
        release = (self.java.parent.parent / "release").read_bytes()
        return self.folder / f"classes-{hashlib.sha256(release).hexdigest()[:12]}.jsa"

    @property
    def options(self) -> tuple[str, ...]:
        return (f"-XX:SharedArchiveFile={self.file}",) if self.file.exists() else ()

    async def make(self, pid: int) -> None:
        """Have the broker's Java write the archive; nothing when it is there, being made, or not writable."""
        claim = self.file.with_suffix(".making")
        if self.file.exists() or not os.access(self.folder, os.W_OK) or not _claimed(claim):
            return
        try:
            await self._write(pid, claim / "classes.jsa")
        finally:
            shutil.rmtree(claim, ignore_errors=True)

    async def _write(self, pid: int, draft: Path) -> None:
        jcmd = await asyncio.create_subprocess_exec(
            *(str(self.java.with_name("jcmd")), str(pid), "VM.cds", "static_dump", str(draft)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(MAKING_SECONDS):
                code = await jcmd.wait()
        except TimeoutError:
            return
        finally:
            if jcmd.returncode is None:
                jcmd.kill()
                await jcmd.wait()
        if code == 0:
            self._keep(draft)

    def _keep(self, draft: Path) -> None:
        """Java says 0 even where it wrote nothing."""
        with contextlib.suppress(FileNotFoundError):
            draft.replace(self.file)


def _claimed(claim: Path) -> bool:
    """True for the one stack that makes the archive, in a folder of that name; an old claim was abandoned."""
    with contextlib.suppress(FileNotFoundError):
        if time.time() - claim.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(claim, ignore_errors=True)
    try:
        claim.mkdir()
    except FileExistsError:
        return False
    return True
