"""Risk from end to end: what people do, what is concluded, what they are told; also while the worker is killed."""

import asyncio
import itertools
import re
import uuid
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from events.public import catalogue
from events.public.event import PublicEvent
from events.public.session import SessionStarted, SignInFailed
from eventstore.provision import Topics, create_topics
from projectors.public_topic import PublicTopic
from runtime.clock import rfc3339, utc_now
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import open_admin
from runtime.kafka_batches import KafkaRecord
from tests.support.chancery import OTHER_PASSWORD, Chancery, Person, bearer
from tests.support.processes import life_of
from tests.support.risk import A_DAY, TOLD_SECONDS, conclusions, risk_process, until_concluded
from tests.support.tasks import eventually

NOTICE, FLAG, STEP_UP = "owner_notice.requested", "session.flagged", "session.step_up_required"
QUIET_SECONDS = 3.0
FAILURES = {**A_DAY, "CHANCERY_RISK_FAILURES": "6"}
"""Fewer than the stack's own worker waits for."""
_SEQS = itertools.count(1)


async def guess(chancery: Chancery, person: Person, times: int) -> None:
    for _ in range(times):
        assert (await chancery.sign_in(person.email, OTHER_PASSWORD)).status_code == 401


async def steal(chancery: Chancery, person: Person) -> str:
    """A session of which an old refresh token is used again; its id."""
    tokens = (await chancery.sign_in(person.email)).json()
    first = tokens["refresh_token"]
    for _ in range(2):
        tokens = (await chancery.refresh(tokens["refresh_token"])).json()
    assert (await chancery.refresh(first)).status_code == 400
    session_id: str = tokens["session_id"]
    return session_id


async def test_many_wrong_passwords_are_told_to_the_owner_once(chancery: Chancery) -> None:
    person = await chancery.new_person()
    await guess(chancery, person, 17)
    mail = (await chancery.mails_to(person.email, 2))[1]
    assert (mail.subject, mail.code) == ("Was this you?", None)
    assert "tried several passwords" in mail.text
    await asyncio.sleep(QUIET_SECONDS)
    assert await conclusions(chancery, person.account_id) == [(NOTICE, "sign-in-failures")]


async def test_a_sign_in_from_another_device_is_told_and_one_from_the_same_is_not(chancery: Chancery) -> None:
    person = await chancery.new_person()
    await chancery.sign_in(person.email)
    elsewhere = await chancery.sign_in(person.email, headers={"user-agent": "Lynx/2.9"})
    await chancery.sign_in(person.email, headers={"user-agent": "Lynx/2.10"})
    mail = (await chancery.mails_to(person.email, 2))[1]
    assert "from a device or network" in mail.text
    await asyncio.sleep(QUIET_SECONDS)
    assert await conclusions(chancery, person.account_id) == [(NOTICE, "unfamiliar-sign-in")]
    assert (await chancery.refresh(elsewhere.json()["refresh_token"])).status_code == 200


async def test_a_burst_of_reused_tokens_flags_the_session_and_every_other_needs_a_new_sign_in(
    chancery: Chancery,
) -> None:
    person = await chancery.new_person()
    for _ in range(3):
        await steal(chancery, person)
    reason = "refresh-reuse-burst"
    found = await until_concluded(
        chancery, person.account_id, (FLAG, reason), (STEP_UP, reason), (NOTICE, reason)
    )
    assert found == [(FLAG, reason), (STEP_UP, reason), (NOTICE, reason)]
    refused = await chancery.refresh(person.tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert "new sign-in" in refused.json()["error_description"]
    assert (await chancery.introspect(person.tokens["access_token"]))["active"]
    fresh = (await chancery.sign_in(person.email)).json()
    assert (await chancery.refresh(fresh["refresh_token"])).status_code == 200
    shown = await chancery.query(
        "GET",
        "/v1/me/activity",
        headers={**bearer(fresh["access_token"]), "chancery-min-position": fresh["position"]},
    )
    types = [item["type"] for item in shown.json()["items"]]
    assert types.count(FLAG) == types.count(STEP_UP) == 1


async def test_a_worker_that_is_killed_in_the_middle_of_a_burst_concludes_exactly_once(
    chancery: Chancery,
) -> None:
    """Before, in, and right after what makes the conclusion due; three accounts, so that partitions differ."""
    people = [await chancery.new_person() for _ in range(3)]
    async with risk_process(chancery, FAILURES) as risk:
        for killed_after in (3, 5, 6):
            for person in people:
                await guess(chancery, person, killed_after - (0, 3, 5)[(3, 5, 6).index(killed_after)])
            await asyncio.sleep({3: 1.5, 5: 0.0, 6: 0.05}[killed_after])
            await risk.kill()
            await risk.start()
        for person in people:
            await until_concluded(chancery, person.account_id, (NOTICE, "sign-in-failures"))
        await guess(chancery, people[0], 2)
        await risk.kill()
        await risk.start()
        await risk.until_ready()
        await asyncio.sleep(QUIET_SECONDS)
        for person in people:
            assert await conclusions(chancery, person.account_id) == [(NOTICE, "sign-in-failures")]


async def test_a_conclusion_waits_for_the_command_api_and_is_not_lost(chancery: Chancery) -> None:
    person = await chancery.new_person()
    async with risk_process(chancery, {**FAILURES, "CHANCERY_SYSTEM_URL": "http://127.0.0.1:9"}) as risk:
        await guess(chancery, person, 6)

        async def says_so() -> bool:
            ready = await chancery.http.get(risk.url + "/health/ready")
            return "command-api" in ready.text

        await eventually(says_so, within_seconds=TOLD_SECONDS)
        assert await conclusions(chancery, person.account_id) == []
        assert await risk.stop() == 0
        await risk.start(CHANCERY_SYSTEM_URL="")
        await until_concluded(chancery, person.account_id, (NOTICE, "sign-in-failures"))


async def test_two_workers_share_the_work_and_conclude_once(chancery: Chancery) -> None:
    people = await asyncio.gather(*(chancery.new_person() for _ in range(6)))
    async with risk_process(chancery, FAILURES) as one, risk_process(chancery, FAILURES) as two:
        await two.kill()
        two.group = one.group
        await two.start()
        await two.until_ready()
        await asyncio.gather(*(guess(chancery, person, 7) for person in people))
        for person in people:
            await until_concluded(chancery, person.account_id, (NOTICE, "sign-in-failures"))
        await asyncio.sleep(QUIET_SECONDS)
        for person in people:
            assert await conclusions(chancery, person.account_id) == [(NOTICE, "sign-in-failures")]


async def test_a_session_from_a_network_that_fails_for_many_accounts_is_suspect(chancery: Chancery) -> None:
    person, innocent = await chancery.new_person(), await chancery.new_person()
    topics = own_topics_of(chancery)
    async with open_admin(KafkaAccess(chancery.settings["CHANCERY_KAFKA_BOOTSTRAP"])) as admin:
        await create_topics(admin, topics)
    failures = [SignInFailed(account_id=f"a{n}", cause="wrong-password", source="net") for n in range(3)]
    more = {**A_DAY, "CHANCERY_PUBLIC_TOPIC": topics.public, "CHANCERY_RISK_ACCOUNTS_OF_SOURCE": "3"}
    async with risk_process(chancery, more):
        await publish(chancery, topics, [started(innocent, "net"), *failures])
        await asyncio.sleep(QUIET_SECONDS)
        await publish(chancery, topics, [started(innocent, "other"), started(person, "net")])
        reason = "guessing-source"
        found = await until_concluded(
            chancery, person.account_id, (FLAG, reason), (STEP_UP, reason), (NOTICE, reason)
        )
    assert len(found) == 3
    assert await conclusions(chancery, innocent.account_id) == []
    assert (await chancery.refresh(person.tokens["refresh_token"])).status_code == 400


async def test_a_worker_that_begins_with_the_whole_feed_tells_nobody_of_the_past(chancery: Chancery) -> None:
    person = await chancery.new_person()
    topics = own_topics_of(chancery)
    async with open_admin(KafkaAccess(chancery.settings["CHANCERY_KAFKA_BOOTSTRAP"])) as admin:
        await create_topics(admin, topics)
    failures = [SignInFailed(account_id=person.account_id, cause="wrong-password", source="n")] * 5
    await publish(chancery, topics, failures * 2, at=utc_now() - timedelta(days=1, minutes=1))
    async with risk_process(chancery, {**FAILURES, "CHANCERY_PUBLIC_TOPIC": topics.public}):
        await publish(chancery, topics, failures)
        await asyncio.sleep(QUIET_SECONDS)
        assert await conclusions(chancery, person.account_id) == []
        await publish(chancery, topics, failures[:1])
        await until_concluded(chancery, person.account_id, (NOTICE, "sign-in-failures"))


async def test_abuse_l12_the_worker_listens_on_its_health_port_alone_and_shows_no_table(
    chancery: Chancery,
) -> None:
    pid = life_of(chancery.home, "risk").pid
    port = int(chancery.settings["CHANCERY_RISK_PORT"])
    assert listening_ports(pid) == {port}
    for path in ("/", "/table", "/table/failures", "/stats", "/router", "/graph", "/livecheck", "/docs/x"):
        answer = await chancery.http.get(f"http://127.0.0.1:{port}{path}")
        assert answer.status_code == 404, path


async def test_the_workers_own_topics_are_safe_and_nothing_else_was_made(chancery: Chancery) -> None:
    async with risk_process(chancery, {}) as risk:
        rules = ("failures", "reuses", "arrivals", "sources")
        names = [f"{risk.group}-{rule}-changelog" for rule in rules]
        async with open_admin(KafkaAccess(chancery.settings["CHANCERY_KAFKA_BOOTSTRAP"])) as admin:
            for name in (*names, f"{risk.group}-sources"):
                settings = await admin.settings(name)
                assert settings["unclean.leader.election.enable"] == "false"
                assert settings["retention.ms"] == str((2 * 3600 + 86_400) * 1000)
                assert settings["cleanup.policy"] == ("compact,delete" if name in names else "delete")
            assert await admin.partition_count(f"{risk.group}-__assignor-__leader") == 0


async def test_a_worker_that_is_killed_leaves_no_file_behind(chancery: Chancery, tmp_path: Path) -> None:
    async with risk_process(chancery, {"TMPDIR": str(tmp_path)}) as risk:
        await risk.kill()
        assert files_of(tmp_path, risk.group) == []


async def test_the_worker_stops_when_it_is_told_to_and_says_what_it_did(chancery: Chancery) -> None:
    person = await chancery.new_person()
    async with risk_process(chancery, FAILURES) as risk:
        await guess(chancery, person, 6)
        await until_concluded(chancery, person.account_id, (NOTICE, "sign-in-failures"))

        async def has_counted() -> bool:
            page: httpx.Response = await chancery.http.get(risk.url + "/metrics")
            return re.search(r'conclusions_total\{.*outcome="given".*sign-in-failures', page.text) is not None

        await eventually(has_counted, within_seconds=TOLD_SECONDS)
        assert await risk.stop() == 0


def files_of(folder: Path, group: str) -> list[Path]:
    """What is in its folder for temporary files, and what Faust would make where the process runs."""
    return [*folder.iterdir(), *Path().glob(f"{group}-data")]


def own_topics_of(chancery: Chancery) -> Topics:
    name = uuid.uuid4().hex[:8]
    partitions = int(chancery.settings.get("CHANCERY_PARTITIONS", "8"))
    return Topics(
        events=f"events-{name}",
        keys=f"keys-{name}",
        public=f"public-{name}",
        partitions=partitions,
        replication_factor=1,
    )


def started(person: Person, source: str) -> SessionStarted:
    now = utc_now()
    return SessionStarted(
        account_id=person.account_id,
        session_id=person.tokens["session_id"],
        client_id="chancery",
        scope="openid",
        amr=("pwd",),
        acr="aal1",
        idle_expires_at=now,
        expires_at=now,
        source=source,
    )


async def publish(
    chancery: Chancery, topics: Topics, events: Iterable[PublicEvent], at: datetime | None = None
) -> None:
    """As the relay does: every event in the partition of its account."""
    moment = rfc3339(at or utc_now())
    public = PublicTopic(
        KafkaAccess(chancery.settings["CHANCERY_KAFKA_BOOTSTRAP"]), topics.public, topics.partitions
    )
    await public.start()
    try:
        for event in events:
            partition = zlib.crc32(event.subject.encode()) % topics.partitions
            headers = {"ce_type": event.type, "ce_time": moment, "ce_id": f"{partition}:{next(_SEQS)}:0"}
            record = KafkaRecord(
                key=event.subject.encode(),
                value=catalogue.encode(event),
                headers=tuple((name, value.encode()) for name, value in headers.items()),
            )
            assert await public.publish(partition, [record]) == 1
    finally:
        await public.stop()


def listening_ports(pid: int) -> set[int]:
    """Of one process, by its own sockets."""
    links = (link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())
    sockets = {match[1] for link in links if (match := re.match(r"socket:\[(\d+)\]", str(link)))}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in sockets:
                found.add(int(columns[1].rpartition(":")[2], 16))
    return found
