"""Small things of the local stack that are right or wrong on paper: pins, properties, state, logs."""

import os
from datetime import UTC, datetime
from pathlib import Path

from cli.follow import LogReader
from localstack.child import birth_mark
from localstack.class_archive import ClassArchive
from localstack.errors import tail
from localstack.jars import KAFKA, LOGGING, Jars, Pin, load_pins
from localstack.kafka import render_properties
from localstack.ports import Ports
from localstack.settings_files import parse
from localstack.state import ProcessState, StackState, load, running_pid, save, take_lock


def test_the_pins_hold_kafka_and_its_logger_each_with_a_sha_256() -> None:
    pins = load_pins()
    assert {KAFKA, LOGGING} <= {pin.coordinate for pin in pins}
    assert all(len(pin.sha256) == 64 for pin in pins)
    assert len({pin.file_name for pin in pins}) == len(pins)


def test_a_pin_names_its_file_as_maven_does() -> None:
    assert Pin("group:artifact:1.0", "").file_name == "artifact-1.0.jar"
    assert Pin("group:artifact:1.0:linux", "").file_name == "artifact-1.0-linux.jar"


def test_jars_lie_in_the_users_cache(tmp_path: Path) -> None:
    jars = Jars.of(tmp_path / "home", {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert jars.folder == tmp_path / "cache" / "chancery" / "kafka-4.1.1"


def test_jars_lie_in_the_home_where_the_cache_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    jars = Jars.of(tmp_path / "home", {"XDG_CACHE_HOME": str(tmp_path / "file")})
    assert jars.folder == tmp_path / "home" / "cache" / "kafka-4.1.1"


def test_kafka_listens_on_loopback_only_and_keeps_everything() -> None:
    properties = parse(render_properties(Path("data"), Ports(kafka=1, kafka_controller=2)))
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert properties["log.retention.ms"] == "-1"
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["unclean.leader.election.enable"] == "false"


def test_a_cluster_keeps_three_copies_and_needs_two() -> None:
    ports = Ports(kafka=1, kafka_controller=2, more_brokers=(3, 4, 5, 6))
    properties = parse(render_properties(Path("data"), ports, 2))
    assert properties["node.id"] == "2"
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:3,CONTROLLER://127.0.0.1:4"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:2,2@127.0.0.1:4,3@127.0.0.1:6"
    assert (properties["default.replication.factor"], properties["min.insync.replicas"]) == ("3", "2")


def test_a_saved_state_is_loaded_again(tmp_path: Path) -> None:
    kafka = ProcessState(pid=1, born="2", ready=True, doing="ready", ready_after_seconds=1.5, restarts=0)
    state = StackState(
        supervisor_pid=3,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        phase="ready",
        selection="infra",
        ports=Ports(),
        settings={"CHANCERY_A": "b"},
        processes={"kafka": kafka},
    )
    save(tmp_path, state)
    assert load(tmp_path) == state


def test_a_torn_or_missing_state_is_none(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    (tmp_path / "state.json").write_text("{")
    assert load(tmp_path) is None


def test_a_home_is_running_only_while_its_lock_is_held(tmp_path: Path) -> None:
    assert running_pid(tmp_path) is None
    descriptor = take_lock(tmp_path)
    assert descriptor is not None
    assert running_pid(tmp_path) == os.getpid()
    assert take_lock(tmp_path) is None
    os.close(descriptor)
    assert running_pid(tmp_path) is None


def test_a_birth_mark_stays_for_a_living_process_and_is_none_for_a_dead_one() -> None:
    assert birth_mark(os.getpid()) == birth_mark(os.getpid()) is not None
    assert birth_mark(2**22 + 1) is None


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"{number}\n" for number in range(20)))
    assert tail(log, 2) == "    18\n    19"
    assert tail(tmp_path / "missing.log") == "    (empty)"


def test_a_log_reader_gives_each_whole_line_once_and_survives_replacement(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    reader = LogReader(log)
    assert reader.new_lines() == []
    log.write_text("one\ntwo\nthr")
    assert reader.new_lines() == ["one", "two"]
    log.write_text("one\ntwo\nthree\n")
    assert reader.new_lines() == ["three"]
    log.write_text("new\n")
    assert reader.new_lines() == ["new"]


async def test_a_class_archive_that_another_stack_makes_is_not_made_twice(tmp_path: Path) -> None:
    java = tmp_path / "runtime" / "bin" / "java"
    java.parent.mkdir(parents=True)
    (java.parent.parent / "release").touch()
    archive = ClassArchive(tmp_path, java)
    archive.file.with_suffix(".making").mkdir()
    await archive.make(os.getpid())
    assert not archive.file.exists()
    assert archive.options == ()
