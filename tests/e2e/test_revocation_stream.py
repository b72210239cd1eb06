"""The feed of revocations as server-sent events: everything once, in order, also for a client that was away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.e2e.conftest import command_process
from tests.support.admins import CLIENTS, new_admin, token_of
from tests.support.chancery import Chancery, Person, bearer, problem_code

PATH = "/v1/revocations/stream"
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    id: str
    data: Mapping[str, Any]

    @property
    def seqs(self) -> list[int]:
        return [int(position.partition(":")[2]) for position in self.id.split(",")]


@dataclass(frozen=True, slots=True)
class Stream:
    """An open answer, read event by event."""

    _lines: AsyncIterator[str]

    async def next(self) -> Event:
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self._lines:
                if not line:
                    return Event(fields["event"], fields["id"], json.loads(fields["data"]))
                name, _, value = line.partition(": ")
                fields[name] = value
        raise EOFError

    async def until(self, kind: str, **members: str) -> Event:
        """The first event of this kind with these members."""
        while True:
            event = await self.next()
            if event.kind == kind and members.items() <= event.data.items():
                return event


@asynccontextmanager
async def watching(chancery: Chancery, last_event_id: str | None = None) -> AsyncIterator[Stream]:
    headers = bearer(await token_of(chancery, dict(chancery.client)))
    if last_event_id is not None:
        headers["last-event-id"] = last_event_id
    async with chancery.http.stream("GET", chancery.query_url + PATH, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer.aiter_lines())


async def sign_out(chancery: Chancery, person: Person) -> str:
    assert (await chancery.command("DELETE", "/v1/sessions", headers=person.bearer)).status_code == 204
    return str(person.tokens["session_id"])


async def test_a_stream_begins_with_what_is_revoked_and_goes_on(chancery: Chancery) -> None:
    before, after = await chancery.new_person(), await chancery.new_person()
    gone = await sign_out(chancery, before)
    await chancery.until_inactive(before.tokens["access_token"])
    async with watching(chancery) as stream:
        snapshot = await stream.next()
        assert snapshot.kind == "snapshot"
        named = [one.get("session_id") for one in snapshot.data["revocations"]]
        assert (named.count(gone), named.count(after.tokens["session_id"])) == (1, 0)
        began = time.monotonic()
        gone = await sign_out(chancery, after)
        revoked = await stream.until("revoked", session_id=gone)
        assert time.monotonic() - began < 1
        later = await stream.until("heartbeat")
        partition, seq = (int(part) for part in revoked.data["position"].split(":"))
        assert revoked.seqs[partition] < seq <= later.seqs[partition]
        assert later.data["age_ms"] < 1000


async def test_a_client_that_was_away_gets_what_it_lacks_and_nothing_else(chancery: Chancery) -> None:
    people = [await chancery.new_person() for _ in range(3)]
    async with watching(chancery) as stream:
        await sign_out(chancery, people[0])
        await stream.until("revoked", session_id=people[0].tokens["session_id"])
        seen = await stream.until("heartbeat")
    missed = [await sign_out(chancery, person) for person in people[1:]]
    await chancery.until_inactive(people[2].tokens["access_token"])
    async with watching(chancery, seen.id) as stream:
        found = [await stream.next(), await stream.next()]
        assert [event.kind for event in found] == ["revoked", "revoked"]
        assert {event.data["session_id"] for event in found} == set(missed)
        assert {event.id for event in found} == {seen.id}
        assert (await stream.next()).kind == "heartbeat"


async def test_a_client_that_is_cut_off_between_events_loses_none(chancery: Chancery) -> None:
    """It says what the last event's id was, whichever that is."""
    people = [await chancery.new_person() for _ in range(4)]
    async with watching(chancery) as stream:
        await stream.next()
        await asyncio.gather(*(sign_out(chancery, person) for person in people))
        last = await stream.until("revoked")
    await chancery.until_inactive(people[3].tokens["access_token"])
    wanted = {person.tokens["session_id"] for person in people} - {last.data.get("session_id")}
    async with watching(chancery, last.id) as stream:
        while wanted:
            event = await stream.until("revoked")
            wanted.discard(event.data.get("session_id"))


AHEAD = ",".join(f"{partition}:999999999" for partition in range(8))
"""As of a log that was longer before it was restored."""


@pytest.mark.parametrize("last_event_id", ["", "0:1", "x", "0:1,1:x", "9999:1", "1:" + "9" * 30, AHEAD])
async def test_a_position_that_is_none_of_this_log_begins_anew(
    chancery: Chancery, last_event_id: str
) -> None:
    async with watching(chancery, last_event_id) as stream:
        assert (await stream.next()).kind == "snapshot"


async def test_heartbeats_come_every_second(chancery: Chancery) -> None:
    async with watching(chancery) as stream:
        await stream.until("heartbeat")
        began = time.monotonic()
        for _ in range(3):
            await stream.until("heartbeat")
        assert time.monotonic() - began < 3


async def test_only_introspecting_clients_may_listen(chancery: Chancery) -> None:
    person = await chancery.new_person()
    refused = await chancery.query("GET", PATH, headers=person.bearer)
    assert (refused.status_code, problem_code(refused)) == (403, "insufficient-scope")
    assert (await chancery.query("GET", PATH)).status_code == 401


async def test_a_stream_ends_with_the_token_that_opened_it(chancery: Chancery) -> None:
    client = await chancery.new_client("chancery.introspect")
    side = replace(chancery, client=client)
    async with watching(side) as stream:
        await stream.until("heartbeat")
        admin = await new_admin(chancery)
        assert (await admin.ask("DELETE", f"{CLIENTS}/{client['client_id']}")).status_code == 204
        with pytest.raises(EOFError):
            await stream.until("no such kind")


async def test_a_position_that_is_waited_for_must_be_one(chancery: Chancery) -> None:
    headers = bearer(await token_of(chancery, dict(chancery.client)))
    bad = await chancery.query("GET", PATH, headers={**headers, "chancery-min-position": "x"})
    assert (bad.status_code, problem_code(bad)) == (400, "bad-position")


async def test_a_process_that_is_told_to_stop_ends_its_streams_and_itself(chancery: Chancery) -> None:
    async with command_process(chancery, {}, "query") as (side, process), watching(side) as stream:
        assert (await stream.next()).kind == "snapshot"
        began = time.monotonic()
        process.terminate()
        with pytest.raises(EOFError):
            await stream.until("no such kind")
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert time.monotonic() - began < 5


async def test_a_feed_that_is_stale_is_not_offered(chancery: Chancery) -> None:
    nowhere = {"CHANCERY_REDIS_URL": "redis://127.0.0.1:1/0"}
    headers = bearer(await token_of(chancery, dict(chancery.client)))
    async with command_process(chancery, nowhere, "query") as (side, _):
        refused = await side.query("GET", PATH, headers=headers)
        assert (refused.status_code, problem_code(refused)) == (503, "revocations-unknown")
