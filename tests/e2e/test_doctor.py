"""`chancery doctor` on the running platform: all green, and red where something real is broken, there and nowhere else."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from localstack.ports import LOOPBACK, free_port_variables, load_ports
from localstack.probes import valkey_answers
from localstack.valkey import valkey
from readmodels import valkey_keys
from readmodels.tables import READ_MODELS
from runtime.encoding import base64url
from runtime.postgres import Postgres
from tests.support.broker import Broker, nobody_there, topic_names
from tests.support.chancery import PATIENCE_SECONDS, Chancery
from tests.support.faketime import fake_time

PARTITIONS = 8
FAKE_TIME = fake_time("+0s")
KEEP = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "unclean.leader.election.enable": "false"}  # fmt: skip
CHECKS = [
    "settings", "Kafka", "topic chancery.events", "topic chancery.keys", "topic chancery.public", "rights at Kafka", "PostgreSQL",
    "read models", "write model", "Valkey", "clock against PostgreSQL", "clock against Valkey", "key-encryption key",
    "signing keys", *(f"projection {name}_v1" for name in sorted(READ_MODELS)), "projection valkey_v1", "pauses",
    "revocation feed", "mail", "process command", "process query", "process projectors", "process mailer",
    "process relay", "process risk",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    code: int
    findings: Mapping[str, Mapping[str, str]]
    seconds: float

    def of(self, level: str) -> list[str]:
        return [name for name, one in self.findings.items() if one["level"] == level]

    def advice(self, check: str) -> str:
        return self.findings[check]["advice"]

    def said(self, check: str) -> str:
        return self.findings[check]["said"]


async def asked(chancery: Chancery, *arguments: str, **settings: str) -> Told:
    """With settings by their names without `CHANCERY_`, and variables of libfaketime."""
    variables = {name if name in FAKE_TIME else f"CHANCERY_{name}": value for name, value in settings.items()}
    began = time.monotonic()
    code, out, err = await chancery.cli("doctor", "--json", *arguments, more=variables)
    seconds = time.monotonic() - began
    assert err == ""
    told: dict[str, Any] = json.loads(out)
    assert told["ok"] == (code == 0)
    findings = {one["check"]: one for one in told["findings"]}
    assert len(findings) == len(told["findings"])
    assert all(one["advice"] for one in findings.values() if one["level"] != "green")
    return Told(code=code, findings=findings, seconds=seconds)


@pytest.fixture(scope="module")
async def well(chancery: Chancery) -> Chancery:
    """The platform with somebody in it, once what other tests did to it is over."""
    await chancery.new_person()
    until = time.monotonic() + PATIENCE_SECONDS
    while (told := await asked(chancery)).of("green") != CHECKS:
        assert time.monotonic() < until, {
            name: one for name, one in told.findings.items() if one["level"] != "green"
        }
    return chancery


async def test_a_platform_that_runs_is_green_in_every_line(well: Chancery) -> None:
    told = await asked(well)
    assert (told.code, told.of("green")) == (0, CHECKS)
    assert told.said("Kafka") == "version 4.1, 1 broker"
    assert told.said("topic chancery.events") == "8 partitions, 1 copy each, and settings that lose nothing"
    assert told.said("PostgreSQL").startswith("version 18.")
    assert told.said("Valkey").startswith("Valkey 9.")


async def test_a_person_reads_the_same_lines(well: Chancery) -> None:
    code, out, err = await well.cli("doctor")
    *rows, empty, end = out.splitlines()
    assert (code, err, empty) == (0, "", "")
    assert [row.split(None, 1)[0] for row in rows] == ["green"] * len(CHECKS)
    assert [row.split(None, 1)[1].partition(":")[0] for row in rows] == CHECKS
    assert end.startswith(f"{len(CHECKS)} green in ")
    secrets = [well.settings[name] for name in ("CHANCERY_POSTGRES_DSN", "CHANCERY_SECRET_KEY")]
    assert not [secret for secret in secrets if secret in out]


@pytest.mark.parametrize(
    ("name", "value"),
    [("retention.ms", "604800000"), ("cleanup.policy", "compact"), ("min.insync.replicas", "2")],
)
async def test_a_topic_with_a_wrong_setting_is_red_and_the_command_that_mends_it_is_said(
    well: Chancery, name: str, value: str
) -> None:
    broker = Broker(well.home, well.settings["CHANCERY_KAFKA_BOOTSTRAP"])
    topics = await broker.new_topics(PARTITIONS)
    own = {"EVENTS_TOPIC": topics.events, "PUBLIC_TOPIC": topics.public}
    assert (await asked(well, **own)).of("green") == [
        one.replace("chancery.events", topics.events).replace("chancery.public", topics.public)
        for one in CHECKS
    ]
    await broker.change(topics.events, {**KEEP, "message.timestamp.type": "LogAppendTime", name: value})
    told = await asked(well, **own)
    check = f"topic {topics.events}"
    assert (told.code, told.of("red"), told.of("yellow")) == (1, [check], [])
    if name in KEEP:
        assert told.said(check) == f"{name}={value}, which can lose history"
        assert told.advice(check).endswith(f"--entity-name {topics.events} --add-config {name}={KEEP[name]}")
    else:
        assert "takes no records" in told.said(check)


async def test_a_topic_that_is_missing_or_of_another_size_says_so(well: Chancery) -> None:
    topics = topic_names()
    told = await asked(well, PUBLIC_TOPIC=topics.public)
    check = f"topic {topics.public}"
    assert (told.code, told.of("red"), told.advice(check)) == (1, [check], "Run `chancery provision`.")
    narrow = await Broker(well.home, well.settings["CHANCERY_KAFKA_BOOTSTRAP"]).new_topics(3)
    told = await asked(well, PUBLIC_TOPIC=narrow.public)
    assert told.of("red") == [f"topic {narrow.public}"]
    assert told.said(f"topic {narrow.public}") == "3 partitions, and CHANCERY_PARTITIONS says 8"


@asynccontextmanager
async def own_valkey(home: Path, policy: str) -> AsyncIterator[str]:
    """A Valkey of this test's own, which looks complete to whoever asks it."""
    ports = load_ports(free_port_variables())
    part = valkey(home, ports)
    (home / "valkey").mkdir(parents=True)
    process = await asyncio.create_subprocess_exec(
        *part.command, "--maxmemory-policy", policy, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await valkey_answers(ports.valkey):  # noqa: ASYNC110  # another process has no event
                await asyncio.sleep(0.05)  # it starts
        url = f"redis://{LOOPBACK}:{ports.valkey}/0"
        with redis.Redis.from_url(url) as client:
            client.hset(
                valkey_keys.FRESH, mapping=dict.fromkeys(map(str, range(PARTITIONS)), int(1000 * time.time()))
            )
        yield url
    finally:
        process.kill()
        await process.wait()


async def test_a_valkey_that_could_forget_is_red(well: Chancery, tmp_path: Path) -> None:
    more = {"REVOCATION_STALE_SECONDS": "60"}
    async with own_valkey(tmp_path / "good", "noeviction") as url:
        assert (await asked(well, REDIS_URL=url, **more)).of("green") == CHECKS
    async with own_valkey(tmp_path / "bad", "allkeys-lru") as url:
        told = await asked(well, REDIS_URL=url, **more)
        assert (told.code, told.of("red"), told.of("yellow")) == (1, ["Valkey"], [])
        assert told.said("Valkey") == "maxmemory-policy is allkeys-lru, so it could forget revocations"
        assert "noeviction" in told.advice("Valkey")
        told = await asked(well, REDIS_URL=url, REVOCATION_STALE_SECONDS="0.001")
        assert told.of("red") == ["Valkey", "revocation feed"]


@pytest.mark.parametrize(
    ("variable", "value", "check", "unknown"),
    [
        (
            "POSTGRES_DSN",
            "postgresql://postgres:hunter2@{}/postgres",
            "PostgreSQL",
            {
                "read models",
                "write model",
                "clock against PostgreSQL",
                "signing keys",
                "projections",
                "pauses",
            },
        ),
        ("REDIS_URL", "redis://:hunter2@{}/0", "Valkey", {"clock against Valkey", "revocation feed"}),
        (
            "KAFKA_BOOTSTRAP",
            "{}",
            "Kafka",
            {"topics", "rights at Kafka", "key-encryption key", "projections"},
        ),
    ],
)
async def test_a_store_that_is_not_there_is_one_red_line_and_what_it_would_tell_is_unknown(
    well: Chancery, variable: str, value: str, check: str, unknown: set[str]
) -> None:
    told = await asked(well, **{variable: value.format(nobody_there())})
    assert (told.code, told.of("red"), set(told.of("yellow"))) == (1, [check], unknown)
    assert told.said(check).startswith("does not answer (")
    assert f"CHANCERY_{variable}" in told.advice(check)
    assert "hunter2" not in json.dumps(dict(told.findings))


async def test_a_database_without_tables_says_what_makes_them(well: Chancery) -> None:
    dsn, name = well.settings["CHANCERY_POSTGRES_DSN"], f"t{uuid.uuid4().hex}"
    postgres = await Postgres.open(dsn, max_connections=1)
    await postgres.execute(f"create database {name}")
    await postgres.close()
    told = await asked(well, POSTGRES_DSN=urlsplit(dsn)._replace(path=f"/{name}").geturl())
    assert (told.code, told.advice("read models")) == (1, "Run `chancery provision`.")
    assert told.findings["write model"]["level"] == "yellow"
    assert told.findings["PostgreSQL"]["level"] == "green"


async def test_a_parked_stream_is_red_and_the_way_out_is_said(well: Chancery) -> None:
    postgres = await Postgres.open(well.settings["CHANCERY_POSTGRES_DSN"], max_connections=1)
    parked = "insert into chancery.parked_facts values ('audit_v1', 'account-of-nobody', 0, 0, 0, 0, 'x', 'by hand')"
    try:
        await postgres.execute(parked)
        told = await asked(well)
    finally:
        await postgres.execute("delete from chancery.parked_facts where stream = 'account-of-nobody'")
        await postgres.close()
    assert (told.code, told.of("red"), told.of("yellow")) == (1, ["projection audit_v1"], [])
    assert told.said("projection audit_v1").endswith("; 1 stream is parked")
    assert "`chancery projections retry audit_v1`" in told.advice("projection audit_v1")


async def test_a_consumer_that_somebody_paused_is_worth_knowing_and_nothing_is_broken(well: Chancery) -> None:
    assert (await well.cli("projections", "pause", "mailer"))[0] == 0
    try:
        told = await asked(well)
    finally:
        assert (await well.cli("projections", "resume", "mailer"))[0] == 0
    assert (told.code, told.of("yellow")) == (0, ["pauses"])
    assert told.said("pauses").startswith("mailer stands still since 20")
    assert told.advice("pauses") == "`chancery projections resume mailer`."


async def test_a_projection_that_is_behind_is_red(well: Chancery) -> None:
    told = await asked(well, PROJECTION_LAG_SECONDS="0.000001")
    behind = told.of("red")
    assert behind
    assert {name.partition(" ")[0] for name in behind} == {"projection"}


@pytest.mark.parametrize("more", [{"SMTP_PORT": ""}, {"SMTP_TLS": "starttls"}, {"SMTP_TLS": "tls"}])
async def test_mail_that_cannot_be_handed_over_is_red(well: Chancery, more: dict[str, str]) -> None:
    port = nobody_there().rpartition(":")[2]
    told = await asked(well, **{name: value or port for name, value in more.items()})
    assert (told.code, told.of("red"), told.of("yellow")) == (1, ["mail"], [])
    assert told.said("mail").startswith("no mail can be handed over: ")


async def test_a_wrong_key_encryption_key_is_red(well: Chancery) -> None:
    told = await asked(well, KEY_ENCRYPTION_KEY=base64url(bytes(range(32))))
    assert (told.code, told.of("red"), told.of("yellow")) == (1, ["key-encryption key"], [])
    assert "CHANCERY_KEY_ENCRYPTION_KEYS_BEFORE" in told.advice("key-encryption key")


async def test_data_keys_under_an_earlier_key_are_worth_knowing(well: Chancery) -> None:
    before = well.settings["CHANCERY_KEY_ENCRYPTION_KEY"]
    told = await asked(
        well, KEY_ENCRYPTION_KEY=base64url(bytes(range(32))), KEY_ENCRYPTION_KEYS_BEFORE=before
    )
    assert (told.code, told.of("yellow")) == (0, ["key-encryption key"])
    assert told.advice("key-encryption key") == "Run `chancery keys rewrap`."


async def test_a_process_that_is_not_there_is_red_until_it_is_said_where_it_is(well: Chancery) -> None:
    nowhere = nobody_there().rpartition(":")[2]
    told = await asked(well, RELAY_PORT=nowhere)
    assert (told.code, told.of("red"), told.of("yellow")) == (1, ["process relay"], [])
    assert "`chancery serve relay`" in told.advice("process relay")
    at = f"relay=http://{LOOPBACK}:{well.settings['CHANCERY_RELAY_PORT']}"
    assert (await asked(well, "--at", at, RELAY_PORT=nowhere)).of("green") == CHECKS
    for wrong in ("relay", "relays=http://x", "relay=x"):
        code, out, err = await well.cli("doctor", "--at", wrong)
        assert (code, out, "--at is NAME=URL" in err) == (2, "", True)


async def test_settings_that_stop_every_process_are_the_only_line(well: Chancery) -> None:
    told = await asked(well, SIGNUPS="open", PARTITIONS="0")
    assert (told.code, told.of("red"), list(told.findings)) == (1, ["settings"], ["settings"])
    assert told.said("settings") == (
        "CHANCERY_SIGNUPS is not a setting. Did you mean CHANCERY_SIGNUP?; "
        "CHANCERY_PARTITIONS: Input should be greater than or equal to 1"
    )


async def test_a_clock_that_is_wrong_is_red_against_both_stores(well: Chancery) -> None:
    told = await asked(well, **fake_time("+3600s"))
    assert told.of("red") == ["clock against PostgreSQL", "clock against Valkey"]
    ahead = re.match(r"this machine is ([\d.]+) s ahead", told.said("clock against Valkey"))
    assert ahead is not None
    assert float(ahead[1]) == pytest.approx(3600, abs=3)
    assert "NTP" in told.advice("clock against PostgreSQL")


async def test_nothing_hangs_where_everything_takes_connections_and_says_nothing(well: Chancery) -> None:
    held: list[asyncio.StreamWriter] = []

    async def be_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(be_silent, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    where = f"{LOOPBACK}:{port}"
    urls = {f"{name}_URL": f"http://{where}" for name in ("COMMAND", "QUERY")}
    ports = {f"{name}_PORT": str(port) for name in ("SMTP", "PROJECTORS", "MAILER", "RELAY", "RISK")}
    stores = {
        "KAFKA_BOOTSTRAP": where,
        "POSTGRES_DSN": f"postgresql://postgres:hunter2@{where}/postgres",
        "REDIS_URL": f"redis://{where}/0",
    }
    try:
        told = await asked(well, **urls, **ports, **stores)
    finally:
        for writer in held:
            writer.close()
        server.close()
    processes = [name for name in CHECKS if name.startswith("process ")]
    assert (told.code, told.of("red")) == (1, ["Kafka", "PostgreSQL", "Valkey", "mail", *processes])
    assert told.seconds < 30, "fifteen checks of four seconds each, one after the other, would be sixty"
