"""Java's class archive, made by a stand-in for its tool, and Kafka's jars where there is no network."""

import os
import time
from pathlib import Path

import pytest

from localstack.class_archive import ABANDONED_SECONDS, ClassArchive
from localstack.errors import StackError
from localstack.jars import Jars, load_pins
from tests.support.broker import nobody_there

WRITES = 'for last; do :; done; echo "$1" > "$last"'


def archive(folder: Path, jcmd: str = WRITES) -> ClassArchive:
    """An archive beside a Java whose tool does what this shell script says."""
    java = folder / "java" / "bin" / "java"
    java.parent.mkdir(parents=True, exist_ok=True)
    (folder / "java" / "release").write_text("one")
    tool = java.with_name("jcmd")
    tool.write_text(f"#!/bin/sh\n{jcmd}\n")
    tool.chmod(0o755)
    (folder / "jars").mkdir(exist_ok=True)
    return ClassArchive(folder / "jars", java)


def kept(made: ClassArchive) -> list[str]:
    return sorted(path.name for path in made.folder.iterdir())


async def test_an_archive_is_written_by_the_brokers_own_java_and_used_from_then_on(tmp_path: Path) -> None:
    made = archive(tmp_path)
    assert list(made.options) == []
    await made.make(4711)
    assert list(made.options) == [f"-XX:SharedArchiveFile={made.file}"]
    assert (made.file.read_text(), kept(made)) == ("4711\n", [made.file.name])


async def test_an_archive_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    made = archive(tmp_path)
    made.file.write_text("before")
    await made.make(4711)
    assert made.file.read_text() == "before"


async def test_another_java_has_another_archive(tmp_path: Path) -> None:
    made = archive(tmp_path)
    before = made.file
    (tmp_path / "java" / "release").write_text("two")
    assert made.file != before


@pytest.mark.parametrize("jcmd", ["exit 0", f"{WRITES}; exit 1"], ids=["wrote nothing", "failed"])
async def test_a_tool_that_did_not_do_it_leaves_nothing_behind(tmp_path: Path, jcmd: str) -> None:
    made = archive(tmp_path, jcmd)
    await made.make(4711)
    assert (kept(made), made.options) == ([], ())


async def test_one_stack_makes_it_and_the_others_leave_it_alone(tmp_path: Path) -> None:
    made = archive(tmp_path)
    claim = made.file.with_suffix(".making")
    claim.mkdir()
    await made.make(4711)
    assert kept(made) == [claim.name]


async def test_a_claim_that_was_abandoned_is_taken_over(tmp_path: Path) -> None:
    made = archive(tmp_path)
    claim = made.file.with_suffix(".making")
    claim.mkdir()
    long_ago = time.time() - ABANDONED_SECONDS - 1
    os.utime(claim, (long_ago, long_ago))
    await made.make(4711)
    assert kept(made) == [made.file.name]


def test_jars_that_are_all_here_are_not_fetched(tmp_path: Path) -> None:
    said: list[str] = []
    for pin in load_pins():
        (tmp_path / pin.file_name).touch()
    Jars(tmp_path).ensure(said.append)
    assert said == []


def test_without_a_network_the_first_start_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{nobody_there()}")
    monkeypatch.setenv("HOME", str(tmp_path))
    said: list[str] = []
    jars = Jars(tmp_path / "cache" / "jars")
    with pytest.raises(StackError, match=r"could not be fetched from Maven Central .*needs the network"):
        jars.ensure(said.append)
    assert said == ["fetching Kafka's jars, 43 MB, only this once"]
    assert list((tmp_path / "cache").iterdir()) == []
