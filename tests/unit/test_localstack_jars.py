"""Kafka's jars: taken only as pinned, all of them or none, and fetched no more once they are there."""

import hashlib
from pathlib import Path

import pytest

from localstack.errors import StackError
from localstack.jars import Jars, Pin, fetch, load_pins

TINY = b"not really a jar"


def repository(folder: Path) -> Path:
    """A Maven repository on this machine that holds one small artifact."""
    held = folder / "maven" / "org" / "example" / "tiny" / "1.0"
    held.mkdir(parents=True)
    (held / "tiny-1.0.jar").write_bytes(TINY)
    (folder / "target").mkdir()
    return folder / "maven"


def test_a_jar_that_is_the_pinned_one_is_taken(tmp_path: Path) -> None:
    pin = Pin("org.example:tiny:1.0", hashlib.sha256(TINY).hexdigest())
    fetch([pin], repository(tmp_path), tmp_path / "target")
    assert (tmp_path / "target" / "tiny-1.0.jar").read_bytes() == TINY


def test_a_jar_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    pin = Pin("org.example:tiny:1.0", "0" * 64)
    with pytest.raises(StackError, match="not the pinned 0000"):
        fetch([pin], repository(tmp_path), tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_jars_that_are_all_there_are_not_fetched_again(tmp_path: Path) -> None:
    for pin in load_pins():
        (tmp_path / pin.file_name).write_bytes(TINY)
    reports: list[str] = []
    Jars(tmp_path).ensure(reports.append)
    assert reports == []


def test_every_pin_is_a_jar_with_its_hash() -> None:
    pins = load_pins()
    assert {len(pin.sha256) for pin in pins} == {64}
    assert "kafka_2.13-4.1.1.jar" in {pin.file_name for pin in pins}
    assert len({pin.file_name for pin in pins}) == len(pins)


def test_the_cache_is_the_users_or_the_homes_own(tmp_path: Path) -> None:
    home, cache = tmp_path / "home", tmp_path / "cache"
    assert Jars.of(home, {"XDG_CACHE_HOME": str(cache)}).folder == cache / "chancery" / "kafka-4.1.1"
    assert Jars.of(home, {"HOME": str(tmp_path)}).folder == tmp_path / ".cache" / "chancery" / "kafka-4.1.1"
    (tmp_path / "a-file").write_text("")
    unusable = {"XDG_CACHE_HOME": str(tmp_path / "a-file")}
    assert Jars.of(home, unusable).folder == home / "cache" / "kafka-4.1.1"
    assert Jars(cache).class_path == f"{cache}/*"
