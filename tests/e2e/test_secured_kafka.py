"""The platform on a broker that wants TLS and names, where every process has no more rights than it needs."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from chancery_sdk.feed import FeedUnavailableError
from chancery_sdk.kafka import open_feed
from localstack.part import PROCESSES
from localstack.ports import LOOPBACK, free_port_variables, load_ports
from localstack.stack import StackInfo, start_stack, stop_stack
from runtime.kafka import KafkaReader, KafkaUnavailableError, KafkaWriter
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import KafkaForbiddenError, open_admin
from runtime.kafka_rights import CLUSTER, Names, Right, rights
from runtime.kafka_version import kafka_version
from tests.e2e.conftest import open_chancery
from tests.e2e.test_doctor import Told, asked
from tests.support.certificates import new_certificate
from tests.support.chancery import OTHER_PASSWORD, Chancery, until_ready
from tests.support.risk import A_DAY
from tests.support.secured_kafka import OPERATIONS, Doors, add_user, allow, grant, new_doors, properties
from tests.support.unlimited import UNLIMITED

TIMEOUT_SECONDS = 5.0
FAILURES = 6
SUBSCRIBER = (Right(kind="topic", name="chancery.public", operations=("Read",)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """The platform as its users see it, and what each process, and somebody else's subscriber, is known by."""

    chancery: Chancery
    doors: Doors
    passwords: Mapping[str, str]

    def access(self, user: str) -> KafkaAccess:
        return self.doors.for_user(user, self.passwords[user])

    def settings_of(self, user: str) -> dict[str, str]:
        access = self.access(user)
        return {
            "CHANCERY_KAFKA_BOOTSTRAP": access.bootstrap,
            "CHANCERY_KAFKA_TLS": "on",
            "CHANCERY_KAFKA_TLS_AUTHORITY": access.authority,
            "CHANCERY_KAFKA_USERNAME": user,
            "CHANCERY_KAFKA_PASSWORD": self.passwords[user],
        }

    async def doctor(self, user: str, **more: str) -> Told:
        own = {**self.settings_of(user), **more}
        own = {name.removeprefix("CHANCERY_"): value for name, value in own.items()}
        return await asked(self.chancery, **own)


@pytest.fixture(scope="module")
def doors_and_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Doors, StackInfo]]:
    home = tmp_path_factory.mktemp("guarded")
    environment = {**os.environ, **UNLIMITED, **A_DAY, **free_port_variables()}
    ports = load_ports(environment)
    doors = new_doors(ports, new_certificate(home / "certificates", LOOPBACK))
    further = home / "further.properties"
    further.write_text(properties(doors, ports, home / "store.pem"))
    environment["CHANCERY_LOCAL_KAFKA_PROPERTIES"] = str(further)
    try:
        yield doors, start_stack(home, environment, selection="infra", lifetime="caller")
    finally:
        stop_stack(home)


@pytest.fixture(scope="module")
async def guarded(doors_and_stack: tuple[Doors, StackInfo]) -> AsyncIterator[Guarded]:
    doors, stack = doors_and_stack
    given = {**rights(Names.usual()), "query": (), "subscriber": SUBSCRIBER}
    passwords = {user: await add_user(doors, user) for user in given}
    for user, own in given.items():
        await grant(doors, f"User:{user}", own)
    async with AsyncExitStack() as opened, httpx.AsyncClient(timeout=20) as http:
        unopened = Chancery(
            home=stack.home, settings={**UNLIMITED, **A_DAY, **stack.settings}, http=http,
            command_url=stack.command_url, query_url=stack.query_url, client={},
        )  # fmt: skip
        made = Guarded(chancery=unopened, doors=doors, passwords=passwords)
        code, out, err = await unopened.cli("provision", more=made.settings_of("operator"))
        assert (code, err) == (0, ""), err
        assert out.startswith("Topics and tables are ready.")
        for name in PROCESSES:
            await opened.enter_async_context(_process(made, name))
        for name in PROCESSES:
            await until_ready(http, f"http://{LOOPBACK}:{getattr(stack.ports, name)}")
        chancery = await opened.enter_async_context(open_chancery(stack))
        yield replace(made, chancery=chancery)


@asynccontextmanager
async def _process(guarded: Guarded, name: str) -> AsyncIterator[None]:
    more = {**guarded.settings_of(name), "CHANCERY_RISK_FAILURES": str(FAILURES)}
    with (guarded.chancery.home / "log" / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "serve", name),
            env={**os.environ, **guarded.chancery.settings, **more},
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_everything_works_with_no_more_rights_than_the_page_says(guarded: Guarded) -> None:
    """The command process writes, projectors and mailer read, relay and risk worker do their part, or this never ends."""
    chancery = guarded.chancery
    person = await chancery.new_person()
    assert (await chancery.introspect(person.tokens["access_token"]))["active"]
    for _ in range(FAILURES):
        assert (await chancery.sign_in(person.email, OTHER_PASSWORD)).status_code == 401
    told = (await chancery.mails_to(person.email, 2))[1]
    assert told.subject == "Was this you?"


async def test_the_operator_sees_that_all_is_well_and_proves_the_log(guarded: Guarded) -> None:
    told = await guarded.doctor("operator")
    assert (told.code, told.of("red"), told.of("yellow")) == (0, [], [])
    assert told.said("rights at chancery.events") == "written by command, operator"
    assert told.said("rights at chancery.keys") == "written by command, operator"
    assert told.said("rights at chancery.public") == "written by relay"
    assert told.said("rights at the cluster") == "nobody but super users could take more rights"
    for command in (("replay", "verify"), ("keys", "rewrap")):
        code, out, err = await guarded.chancery.cli(*command, more=guarded.settings_of("operator"))
        assert code == 0, out + err


async def test_who_may_not_look_is_told_what_he_lacks(guarded: Guarded) -> None:
    told = await guarded.doctor("command")
    assert told.said("rights at Kafka") == "not known: this user may not see ACLs"
    assert told.said("topic chancery.public") == "not known: this user may not see topic chancery.public"
    assert (told.code, told.of("red")) == (0, [])
    assert told.of("yellow") == ["topic chancery.public", "rights at Kafka"]


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("projectors", "chancery.events"),
        ("mailer", "chancery.events"),
        ("mailer", "chancery.keys"),
        ("relay", "chancery.events"),
        ("command", "chancery.public"),
        ("risk", "chancery.public"),
        ("subscriber", "chancery.public"),
    ],
)
async def test_nobody_else_writes_history(guarded: Guarded, user: str, topic: str) -> None:
    writer = KafkaWriter(guarded.access(user), timeout_seconds=TIMEOUT_SECONDS)
    try:
        with pytest.raises(KafkaUnavailableError, match=r"(Topic|Cluster)AuthorizationFailedError"):
            await (await writer.send(topic, 0, b"key", b"value"))
    finally:
        await writer.stop()


@pytest.mark.parametrize(
    ("user", "own", "other"),
    [("risk", "chancery.public", "chancery.events"), ("relay", "chancery.events", "chancery.keys")],
)
async def test_nobody_reads_what_is_not_for_him(guarded: Guarded, user: str, own: str, other: str) -> None:
    await guarded.chancery.new_person()
    access = guarded.access(user)
    assert await records_in(access, own) > 0
    assert await records_in(guarded.access("operator"), other) > 0
    assert await records_in(access, other) == 0
    async with open_admin(access) as admin:
        with pytest.raises(KafkaForbiddenError, match=f"may not see topic {other}"):
            await admin.state(other)


async def records_in(access: KafkaAccess, topic: str) -> int:
    """So many are read of all partitions."""
    reader = KafkaReader(access, topic, 8, timeout_seconds=TIMEOUT_SECONDS, between_reads="pause")
    await reader.start()
    try:
        return sum([len(await reader.read(number, 0, wait_seconds=1.0)) for number in range(8)])
    finally:
        await reader.stop()


async def test_a_subscriber_reads_the_feed_and_nothing_else(guarded: Guarded) -> None:
    await guarded.chancery.new_person()
    client = guarded.access("subscriber").client_options()
    bootstrap = client.pop("bootstrap_servers")
    async with open_feed(bootstrap, **client) as feed:
        assert max([await feed.end(number) for number in await feed.partitions()]) > 0
    with pytest.raises(FeedUnavailableError, match="TopicAuthorizationFailedError"):
        async with open_feed(bootstrap, topic="chancery.events", **client):
            pass


async def test_no_log_holds_a_password(guarded: Guarded) -> None:
    logs = [path.read_text() for path in (guarded.chancery.home / "log").glob("*.log")]
    assert len(logs) > len(PROCESSES)
    assert not [user for user, password in guarded.passwords.items() if any(password in log for log in logs)]


async def brokers_seen(access: KafkaAccess) -> int:
    async with open_admin(access) as admin:
        return await admin.brokers()


async def test_each_way_to_prove_oneself_is_taken(guarded: Guarded) -> None:
    doors = guarded.doors
    assert await brokers_seen(guarded.access("command")) == 1
    assert await brokers_seen(doors.for_user("plain", "plain-password", "PLAIN")) == 1
    assert await brokers_seen(doors.for_certificate) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": SecretStr("another")}, "it refuses CHANCERY_KAFKA_USERNAME with this password"),
        ({"username": "nobody"}, "it refuses CHANCERY_KAFKA_USERNAME with this password"),
        (
            {"mechanism": "SCRAM-SHA-256"},
            "it does not take CHANCERY_KAFKA_SASL_MECHANISM=SCRAM-SHA-256",
        ),
        ({"authority": ""}, "its certificate is not believed by what the system trusts"),
        (
            {"username": "", "is_encrypted": False},
            "it hangs up, because it stops or wants something else than CHANCERY_KAFKA_TLS=off with nothing that says",
        ),
        (
            {"username": ""},
            "it hangs up, because it stops or wants something else than CHANCERY_KAFKA_TLS=on with nothing that says",
        ),
    ],
)
async def test_who_is_refused_hears_why(guarded: Guarded, change: dict[str, Any], said: str) -> None:
    with pytest.raises(KafkaUnavailableError, match=re.escape(said)):
        await brokers_seen(replace(guarded.access("command"), **change))


async def test_a_broker_of_another_authority_or_name_is_not_believed(
    guarded: Guarded, tmp_path: Path
) -> None:
    other = new_certificate(tmp_path / "other", LOOPBACK)
    access = replace(guarded.access("command"), authority=str(other.authority))
    elsewhere = guarded.access("command").bootstrap.replace(LOOPBACK, "localhost")
    renamed = replace(guarded.access("command"), bootstrap=elsewhere)
    for ask in (brokers_seen, kafka_version):
        with pytest.raises(KafkaUnavailableError, match="not believed by CHANCERY_KAFKA_TLS_AUTHORITY"):
            await ask(access)
        with pytest.raises(
            KafkaUnavailableError, match="not good for the address in CHANCERY_KAFKA_BOOTSTRAP"
        ):
            await ask(renamed)
    told = await guarded.doctor("operator", CHANCERY_KAFKA_TLS_AUTHORITY=str(other.authority))
    assert "not believed by CHANCERY_KAFKA_TLS_AUTHORITY" in told.said("Kafka")


async def test_other_doors_say_what_they_are_not(guarded: Guarded) -> None:
    doors = guarded.doors
    encrypted = replace(guarded.access("command"), bootstrap=doors.for_keeper.bootstrap)
    with pytest.raises(KafkaUnavailableError, match="it hangs up"):
        await brokers_seen(encrypted)
    uncertain = replace(doors.for_certificate, certificate="", key="")
    with pytest.raises(KafkaUnavailableError, match="it hangs up"):
        await brokers_seen(uncertain)
    named = replace(doors.for_certificate, username="command", password=SecretStr("any"))
    with pytest.raises(KafkaUnavailableError, match="takes no user names at this port"):
        await brokers_seen(named)


async def test_rights_that_are_too_wide_are_said(guarded: Guarded) -> None:
    """The last test here: what it allows stays allowed."""
    events = Right(kind="topic", name="chancery.events", operations=())
    await allow(guarded.doors, "User:mailer", events, OPERATIONS["Write"])
    told = await guarded.doctor("operator")
    assert told.of("yellow") == ["rights at chancery.events"]
    assert told.said("rights at chancery.events") == "written by command, mailer, operator"
    await allow(guarded.doors, "User:relay", events, OPERATIONS["Delete"])
    told = await guarded.doctor("operator")
    assert told.said("rights at chancery.events") == "relay could delete records"
    anything = Right(kind="topic", name="chancery.", operations=(), is_prefix=True)
    await allow(guarded.doors, "User:*", anything, OPERATIONS["Read"])
    told = await guarded.doctor("operator")
    assert (told.code, len(told.of("red"))) == (1, 3)
    assert told.said("rights at chancery.public") == "everybody has rights"
    cluster = Right(kind="cluster", name=CLUSTER, operations=())
    await allow(guarded.doors, "User:risk", cluster, OPERATIONS["Alter"])
    told = await guarded.doctor("operator")
    assert told.said("rights at the cluster") == "risk could take any right"
