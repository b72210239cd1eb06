"""`chancery doctor` without an installation: how checks run, what a finding looks like, and where red begins."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr

from cli.doctor.checks import all_checks
from cli.doctor.clocks import judged as judged_clock
from cli.doctor.finding import Check, Finding, examine, green, red, yellow
from cli.doctor.kafka import judged_broker, judged_topic
from cli.doctor.keys import judged as judged_keys
from cli.doctor.processes import default_url, readiness
from cli.doctor.processes import judged as judged_process
from cli.doctor.projections import judged as judged_projection
from cli.doctor.report import as_object, is_well, lines, summary
from cli.doctor.rights import judged_cluster, judged_rights
from cli.doctor.valkey import judged as judged_valkey
from eventstore.provision import Topics, demanded
from readmodels.projections import PartitionStatus, ProjectorStatus, State
from readmodels.signing_keys import SigningKey
from runtime.kafka import KafkaUnavailableError
from runtime.kafka_acls import AclEntry
from runtime.kafka_admin import TopicState
from runtime.kafka_version import version_of
from runtime.postgres import PostgresRejectedError
from runtime.redis import StoreFacts
from runtime.settings import Settings
from runtime.store_clock import Offset, offset_of
from tests.support.broker import nobody_there

SECRET = SecretStr("A" * 43)
SETTINGS = Settings(secret_key=SECRET, key_encryption_key=SECRET)
NOW = datetime(2026, 5, 1, tzinfo=UTC)
Look = Callable[[Settings], Awaitable[Sequence[Finding]]]


def finds(*findings: Finding) -> Look:
    async def look(_: Settings) -> Sequence[Finding]:
        return findings

    return look


def fails(error: Exception) -> Look:
    async def look(_: Settings) -> Sequence[Finding]:
        raise error

    return look


async def hangs(_: Settings) -> Sequence[Finding]:
    await asyncio.Event().wait()
    raise AssertionError


async def will_not_be_cancelled(_: Settings) -> Sequence[Finding]:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.8)  # what a client's farewell may take
    raise AssertionError


def check(name: str, look: Look, *needs: str) -> Check:
    return Check(name=name, look=look, advice=f"See {name}.", needs=needs)


async def test_checks_run_although_others_fail_and_stand_in_their_order() -> None:
    found = await examine(
        [
            check("late", finds(green("late", "well")), "store"),
            check("store", finds(green("store", "there"))),
            check("broken", fails(ZeroDivisionError("secret"))),
            check("gone", fails(KafkaUnavailableError("Kafka at 10.0.0.1:9092: KafkaConnectionError"))),
            check("shut", fails(PostgresRejectedError("PostgreSQL: InvalidPasswordError (28P01)"))),
            check("two lines", finds(green("a", "x"), yellow("b", "y", "z"))),
        ],
        SETTINGS,
    )
    assert found == (
        green("late", "well"),
        green("store", "there"),
        red(
            "broken",
            "the check itself broke: ZeroDivisionError",
            "Tell the developers; the other lines hold.",
        ),
        red("gone", "does not answer (KafkaConnectionError)", "See gone."),
        red("shut", "does not answer (InvalidPasswordError (28P01))", "See shut."),
        green("a", "x"),
        yellow("b", "y", "z"),
    )


async def test_what_a_silent_store_would_tell_is_unknown_and_no_second_red_line() -> None:
    found = await examine(
        [
            check("store", fails(OSError())),
            check("other", finds(green("other", "there"))),
            check("inside", finds(green("inside", "never asked")), "other", "store"),
        ],
        SETTINGS,
    )
    assert [(one.check, one.level) for one in found] == [
        ("store", "red"),
        ("other", "green"),
        ("inside", "yellow"),
    ]
    assert found[2] == yellow("inside", "not known without store", "See the line of store.")


@pytest.mark.parametrize("look", [hangs, will_not_be_cancelled])
async def test_nothing_hangs(look: Look) -> None:
    began = time.monotonic()
    hanging = [check(f"store {number}", look) for number in range(20)]
    dependent = [check(f"inside {number}", hangs, f"well {number}") for number in range(20)]
    wells = [check(f"well {number}", finds()) for number in range(20)]
    found = await examine([*hanging, *wells, *dependent], SETTINGS, seconds=0.2)
    assert time.monotonic() - began < 1.8
    assert {(one.level, one.said) for one in found} == {("red", "no answer within 0 s")}
    assert len(found) == 40


GOOD, NOTED, BAD = green("a", "fine"), yellow("b", "old", "Look."), red("c", "gone", "Start it.")


def test_only_red_is_not_well() -> None:
    assert [is_well(found) for found in ([], [GOOD], [GOOD, NOTED], [GOOD, BAD])] == [True, True, True, False]


def test_a_line_says_what_to_do_below_itself() -> None:
    assert list(lines([GOOD, NOTED, BAD])) == [
        ("green", "a: fine"),
        ("yellow", "b: old\n       → Look."),
        ("red", "c: gone\n       → Start it."),
    ]
    assert summary([GOOD, GOOD, BAD], 1.26) == "2 green, 1 red in 1.3 s."


def test_a_program_gets_the_same() -> None:
    assert as_object([GOOD, BAD], 1.5, ["disks"]) == {
        "ok": False,
        "seconds": 1.5,
        "findings": [
            {"check": "a", "level": "green", "said": "fine", "advice": ""},
            {"check": "c", "level": "red", "said": "gone", "advice": "Start it."},
        ],
        "not_looked_at": ["disks"],
    }


def test_what_a_check_needs_is_a_check_that_needs_nothing() -> None:
    checks = {one.name: one for one in all_checks({})}
    assert len(checks) == len(all_checks({}))
    assert [
        checks[needed].needs for one in checks.values() for needed in one.needs if checks[needed].needs
    ] == []


@pytest.mark.parametrize(
    ("seconds", "unsure", "level", "said"),
    [
        (0.0, 0.001, "green", "this machine is 0.000 s ahead of it, ± 0.001 s"),
        (0.9, 0.001, "green", "this machine is 0.900 s behind it, ± 0.001 s"),
        (-1.5, 0.1, "yellow", "this machine is 1.500 s ahead of it, ± 0.100 s"),
        (1.5, 0.6, "green", "this machine is 1.500 s behind it, ± 0.600 s"),
        (5.2, 0.1, "red", "this machine is 5.200 s behind it, ± 0.100 s"),
        (-3600.0, 0.1, "red", "this machine is 3600.000 s ahead of it, ± 0.100 s"),
    ],
)
def test_a_clock_may_differ_as_much_as_signing_keys_allow(
    seconds: float, unsure: float, level: str, said: str
) -> None:
    finding = judged_clock("clock", Offset(seconds=seconds, unsure_seconds=unsure))
    assert (finding.level, finding.said) == (level, said)


async def test_an_offset_is_as_far_as_the_other_clock_is_away() -> None:
    async def an_hour_ahead() -> float:
        return time.time() + 3600

    offset = await offset_of(an_hour_ahead)
    assert abs(offset.seconds - 3600) <= offset.unsure_seconds + 0.01


THREE = Topics(events="e", keys="k", public="p", partitions=8, replication_factor=3)
SOUND = {**demanded(THREE)["e"], "min.insync.replicas": "2", "message.timestamp.type": "LogAppendTime"}
WHOLE = TopicState(partitions=8, copies=3, in_sync=3)


@pytest.mark.parametrize(
    ("state", "settings", "level", "said"),
    [
        (WHOLE, {}, "green", "8 partitions, 3 copies each, and settings that lose nothing"),
        (replace(WHOLE, partitions=7), {}, "red", "7 partitions, and CHANCERY_PARTITIONS says 8"),
        (WHOLE, {"retention.ms": "1", "retention.bytes": "2"}, "red", "retention.ms=1, which can lose history; retention.bytes=2, which can lose history"),
        (WHOLE, {"min.insync.replicas": "1"}, "red", "min.insync.replicas=1: a record may be acknowledged that one lost broker takes along"),
        (replace(WHOLE, copies=2, in_sync=2), {"min.insync.replicas": "1"}, "red", "2 copies of some partition, and CHANCERY_REPLICATION_FACTOR says 3; min.insync.replicas=1: a record may be acknowledged that one lost broker takes along"),
        (replace(WHOLE, in_sync=1), {}, "red", "takes no records: 1 copies of some partition are in sync, and 2 must be"),
        (replace(WHOLE, in_sync=2), {}, "yellow", "8 partitions, 3 copies each; 2 in sync"),
        (WHOLE, {"min.insync.replicas": "3"}, "yellow", "8 partitions, 3 copies each; every copy must be in sync, so one broker less stops all writes"),
        (WHOLE, {"message.timestamp.type": "CreateTime"}, "yellow", "8 partitions, 3 copies each; the broker may refuse records of a process whose clock is wrong"),
    ],
)  # fmt: skip
def test_a_topic_must_lose_nothing_and_survive_a_broker(
    state: TopicState, settings: dict[str, str], level: str, said: str
) -> None:
    finding = judged_topic("e", state, {**SOUND, **settings}, demanded(THREE)["e"], THREE, "production")
    assert (finding.level, finding.said) == (level, said)
    assert bool(finding.advice) == (level != "green")


def test_one_copy_is_enough_for_development_alone() -> None:
    one = replace(THREE, replication_factor=1)
    alone, settings = TopicState(partitions=8, copies=1, in_sync=1), {**SOUND, "min.insync.replicas": "1"}
    levels = [
        judged_topic("e", alone, settings, demanded(one)["e"], one, mode).level
        for mode in ("development", "production")
    ]
    assert levels == ["green", "yellow"]


@pytest.mark.parametrize(
    ("metadata", "brokers", "level"), [(27, 3, "green"), (22, 4, "green"), (21, 3, "red"), (27, 2, "red")]
)
def test_kafka_is_new_enough_and_has_a_broker_for_each_copy(metadata: int, brokers: int, level: str) -> None:
    assert judged_broker(version_of(metadata), brokers, 3).level == level


VALKEY = StoreFacts(
    product="Valkey", version="9.1.0", memory_policy="noeviction", used_bytes=1, most_bytes=0, has_append_only_file=False
)  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (VALKEY, "green"),
        (replace(VALKEY, product="Redis", version="7.4.2", has_append_only_file=True), "green"),
        (replace(VALKEY, product="Redis", version="6.2.14"), "red"),
        (replace(VALKEY, memory_policy="volatile-lru"), "red"),
        (replace(VALKEY, used_bytes=89, most_bytes=100), "green"),
        (replace(VALKEY, used_bytes=91, most_bytes=100), "yellow"),
    ],
)
def test_valkey_is_new_enough_forgets_nothing_and_has_room(facts: StoreFacts, level: str) -> None:
    assert judged_valkey(facts).level == level


def signing_key(kid: str, days: float, retires_in: float | None = None) -> SigningKey:
    return SigningKey(
        kid=kid,
        alg="ES256",
        public_jwk={},
        created_at=NOW + timedelta(days=days),
        activates_at=NOW + timedelta(days=days),
        retires_at=None if retires_in is None else NOW + timedelta(days=retires_in),
    )


@pytest.mark.parametrize(
    ("keys", "level", "said"),
    [
        ([], "red", "none signs"),
        ([signing_key("a", 1)], "red", "none signs"),
        ([signing_key("a", -9, -1)], "red", "none signs"),
        ([signing_key("a", -9)], "green", "a (ES256) has signed for 9 days, none is announced"),
        ([signing_key("a", -9, 0.1), signing_key("b", -1)], "green", "b (ES256) has signed for 24.0 hours, none is announced"),
        ([signing_key("a", -100)], "yellow", "a (ES256) has signed for 100 days, none is announced"),
        ([signing_key("a", -100, 1), signing_key("b", 0.5)], "green", "a (ES256) has signed for 100 days, the next one in 12.0 hours"),
    ],
)  # fmt: skip
def test_one_key_signs_and_an_old_one_should_be_rotated(
    keys: Sequence[SigningKey], level: str, said: str
) -> None:
    finding = judged_keys(keys, NOW)
    assert (finding.level, finding.said) == (level, said)


def projector(state: State, lag_records: int | None = 0) -> ProjectorStatus:
    partition = PartitionStatus(
        partition=0, seq=1, next_offset=2, lag_records=lag_records, lag_seconds=0.25, state=state, reason=None
    )
    return ProjectorStatus(projector="accounts_v1", partitions=(partition,))


@pytest.mark.parametrize(
    ("state", "parked", "level"),
    [
        ("live", 0, "green"),
        ("paused", 0, "yellow"),
        ("behind", 0, "red"),
        ("building", 0, "red"),
        ("silent", 0, "red"),
        ("halted", 0, "red"),
        ("live", 2, "red"),
        ("paused", 1, "red"),
    ],
)
def test_a_projection_is_well_while_it_is_live_and_nothing_is_parked(
    state: State, parked: int, level: str
) -> None:
    finding = judged_projection(projector(state), parked)
    assert (finding.check, finding.level) == ("projection accounts_v1", level)
    assert finding.said.startswith(f"{state}, behind by 0 records, 0.2 s")
    assert ("chancery projections retry accounts_v1" in finding.advice) == bool(parked)
    assert bool(finding.advice) == (level != "green")


@pytest.mark.parametrize(
    ("answer", "level", "said"),
    [
        (httpx.Response(200), "green", "ready"),
        (httpx.Response(503, json={"failing": {"kafka": "gone", "x": "y"}}), "red", "not ready: kafka: gone; x: y"),
        (httpx.Response(503, text="no healthy upstream"), "red", "not ready: 503, and not in words of Chancery's"),
        (httpx.Response(503, json=[1]), "red", "not ready: 503, and not in words of Chancery's"),
        (httpx.Response(404), "red", "answers 404 at /health/ready"),
    ],
)  # fmt: skip
def test_a_process_is_well_when_it_says_so(answer: httpx.Response, level: str, said: str) -> None:
    finding = judged_process("process query", answer)
    assert (finding.level, finding.said) == (level, said)


async def test_a_worker_of_production_may_be_on_another_machine_unless_it_is_said_where() -> None:
    url = f"http://{nobody_there()}"
    port = int(url.rpartition(":")[2])
    elsewhere = SETTINGS.model_copy(update={"mode": "production", "mailer_port": port, "command_url": url})
    levels = [
        (await readiness("mailer", at, settings))[0].level
        for at, settings in (({}, elsewhere), ({"mailer": url}, elsewhere), ({}, elsewhere.model_copy(update={"mode": "development"})))
    ]  # fmt: skip
    assert levels == ["yellow", "red", "red"]
    (finding,) = await readiness("command", {}, elsewhere)
    assert (finding.level, finding.said) == ("red", "does not answer (ConnectError)")


def test_processes_are_asked_where_the_settings_say() -> None:
    bound = SETTINGS.model_copy(update={"bind_host": "0.0.0.0", "command_url": "https://id.example.com"})
    assert default_url("command", bound) == "https://id.example.com"
    assert default_url("risk", bound) == "http://127.0.0.1:8087"
    assert default_url("relay", bound.model_copy(update={"bind_host": "::"})) == "http://[::1]:8086"


@pytest.mark.parametrize(
    ("entries", "level", "said"),
    [
        ([("a", "Write"), ("b", "Read")], "green", "written by a"),
        ([], "yellow", "written by super users only, or by everybody if brokers allow what no entry names"),
        ([("chancery-command", "Write")], "green", "written by chancery-command"),
        ([("chancery-command", "Write"), ("x", "Write")], "yellow", "written by chancery-command, x"),
        ([("ANONYMOUS", "Write")], "red", "everybody who comes without a name has rights"),
        ([("a", "All")], "yellow", "a could delete records"),
        ([("a", "Write"), ("b", "AlterConfigs")], "yellow", "b could delete records"),
        ([("a", "Write"), ("b", "Write")], "yellow", "written by a, b"),
        ([("a", "Write"), ("*", "Read")], "red", "everybody has rights"),
        ([("*", "All")], "red", "everybody has rights"),
    ],
)
def test_whoever_may_change_history_is_named(entries: list[tuple[str, str]], level: str, said: str) -> None:
    acls = [AclEntry(principal=f"User:{who}", operation=what, is_allowed=True) for who, what in entries]
    acls.append(AclEntry(principal="User:c", operation="Write", is_allowed=False))
    found = judged_rights("e", acls, ["command"])
    assert (found.level, found.said) == (level, said)


@pytest.mark.parametrize(
    ("entries", "level"),
    [
        ([("chancery-operator", "Describe")], "green"),
        ([("a", "ClusterAction")], "yellow"),
        ([("a", "Alter")], "yellow"),
        ([("*", "All")], "red"),
    ],
)
def test_whoever_could_give_himself_rights_is_named(entries: list[tuple[str, str]], level: str) -> None:
    acls = [AclEntry(principal=f"User:{who}", operation=what, is_allowed=True) for who, what in entries]
    assert judged_cluster(acls).level == level
