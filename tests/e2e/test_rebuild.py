"""A read model built anew beside the one that serves, while people come and go: no read fails, none is wrong."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runtime.postgres import Postgres
from tests.support.chancery import Chancery, Person, bearer
from tests.support.tasks import eventually, running

PEOPLE = 3
REBUILD = ("projections", "rebuild", "sessions", "--to", "v2")
ROUNDS_AFTER = 3


class Visitor:
    """Signs in and out again and again, and looks at the own sessions after each step."""

    def __init__(self, chancery: Chancery, person: Person) -> None:
        self._chancery = chancery
        self._person = person
        self.rounds = 0

    async def come_and_go(self) -> None:
        """Until cancelled."""
        stays = self._person.tokens["session_id"]
        while True:
            answer = await self._chancery.sign_in(self._person.email)
            assert answer.status_code == 201, answer.text
            visit = answer.json()
            assert await self._sessions(answer.headers["chancery-position"]) == {stays, visit["session_id"]}
            assert (await self._chancery.introspect(visit["access_token"]))["active"] is True
            path, headers = f"/v1/sessions/{visit['session_id']}", bearer(visit["access_token"])
            gone = await self._chancery.command("DELETE", path, headers=headers)
            assert gone.status_code == 204, gone.text
            assert await self._sessions(gone.headers["chancery-position"]) == {stays}
            self.rounds += 1

    async def _sessions(self, position: str) -> set[str]:
        headers = {**self._person.bearer, "chancery-min-position": position}
        answer = await self._chancery.query("GET", "/v1/me/sessions", headers=headers)
        assert answer.status_code == 200, answer.text
        return {one["session_id"] for one in answer.json()["sessions"]}


@asynccontextmanager
async def visitors(chancery: Chancery) -> AsyncIterator[list[Visitor]]:
    people = [await chancery.new_person() for _ in range(PEOPLE)]
    found = [Visitor(chancery, person) for person in people]
    async with running(*(visitor.come_and_go() for visitor in found)):
        yield found


async def some_more_rounds(found: list[Visitor]) -> None:
    wanted = [visitor.rounds + ROUNDS_AFTER for visitor in found]

    async def are_done() -> bool:
        return all(v.rounds >= rounds for v, rounds in zip(found, wanted, strict=True))

    await eventually(are_done, within_seconds=60)


async def done(chancery: Chancery, *arguments: str) -> dict[str, Any]:
    status, out, err = await chancery.cli(*arguments, "--json")
    assert status == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


async def one(chancery: Chancery, sql: str, *values: Any) -> Any:
    postgres = await Postgres.open(chancery.settings["CHANCERY_POSTGRES_DSN"], max_connections=1)
    try:
        row = await postgres.fetch_one(sql, *values)
    finally:
        await postgres.close()
    assert row is not None
    (value,) = row.values()
    return value


async def built(chancery: Chancery) -> int:
    """Commits that version 2 has, of all partitions."""
    sql = "select coalesce(sum(seq + 1), 0)::int from chancery.checkpoints where projector = 'sessions_v2'"
    return int(await one(chancery, sql))


@pytest.fixture
async def tidy(chancery: Chancery) -> AsyncIterator[None]:
    """Other tests of this stack find the first version serving, and no other."""
    yield
    await chancery.cli("projections", "switch", "sessions", "--to", "v1")
    await chancery.cli("projections", "drop", "sessions_v2")


@pytest.mark.usefixtures("tidy")
@pytest.mark.timeout(180)
async def test_nobody_notices_a_rebuild_that_is_killed_and_goes_on(chancery: Chancery) -> None:
    async with visitors(chancery) as found:
        await some_more_rounds(found)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", *REBUILD, "--rate", "20", "--json"),
            env={**os.environ, **chancery.settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await eventually(lambda: has_begun(chancery), within_seconds=30)
        process.send_signal(signal.SIGKILL)
        assert await process.communicate() == (b"", b"Building sessions_v2 beside sessions_v1.\n")
        before = await built(chancery)
        told = await done(chancery, *REBUILD)
        assert told["switched"], told
        assert await built(chancery) > before > 0
        await some_more_rounds(found)
        assert await one(
            chancery, "select pg_get_viewdef('chancery.sessions'::regclass) like '%sessions_v2%'"
        )
        assert await done(chancery, "projections", "switch", "sessions", "--to", "v1") == {
            "ok": True,
            "serving": "sessions_v1",
            "before": "sessions_v2",
        }
        await some_more_rounds(found)
    compared = told["compared"]
    assert (compared["equal"], compared["at_one_place_in_the_log"]) == (True, True)
    assert compared["before"] == compared["after"]
    assert compared["before"]["rows"] > PEOPLE


async def has_begun(chancery: Chancery) -> bool:
    there = await one(chancery, "select to_regclass('chancery.sessions_v2') is not null")
    return bool(there) and await built(chancery) > 0


@pytest.mark.usefixtures("tidy")
@pytest.mark.timeout(120)
async def test_rows_that_are_not_what_the_log_says_are_found_and_replaced_only_on_demand(
    chancery: Chancery,
) -> None:
    person = await chancery.new_person()
    headers = {**person.bearer, "chancery-min-position": person.tokens["position"]}
    assert (await chancery.query("GET", "/v1/me/sessions", headers=headers)).status_code == 200
    session_id = person.tokens["session_id"]
    assert await one(
        chancery, "delete from chancery.sessions_v1 where session_id = $1 returning true", session_id
    )
    status, out, err = await chancery.cli(*REBUILD)
    assert status == 1, err
    lost, whole, *rest = out.splitlines()
    rows = [int(line.split()[1]) for line in (lost, whole)]
    assert rows[1] == rows[0] + 1
    assert rest == [
        "They differ: nothing was switched.",
        "If the change is meant: chancery projections rebuild sessions --to v2 --accept-changes",
        "If it is not: chancery projections drop sessions_v2",
    ]
    assert (await chancery.query("GET", "/v1/me/sessions", headers=headers)).json() == {"sessions": []}
    status, out, err = await chancery.cli(*REBUILD, "--accept-changes")
    assert (status, out.splitlines()[2:]) == (
        0,
        [
            "sessions_v2 serves sessions now.",
            "Back: chancery projections switch sessions --to v1",
            "When all is well: chancery projections drop sessions_v1",
        ],
    ), err
    (shown,) = (await chancery.query("GET", "/v1/me/sessions", headers=headers)).json()["sessions"]
    assert shown["session_id"] == session_id


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("rebuild", "sessions", "--to", "v1"), 1, "sessions_v1 serves already; rebuild --to v2"),
        (("rebuild", "nothing", "--to", "v2"), 1, "nothing is none of accounts, identifiers, sessions, "),
        (("rebuild", "sessions", "--to", "two"), 2, "two is no version; say v2, for example"),
        (
            ("switch", "sessions", "--to", "v7"),
            1,
            "sessions has no finished v7; there is sessions_v1 (serving)",
        ),
        (("drop", "sessions_v1"), 1, "sessions_v1 serves; switch to another version first"),
        (("drop", "sessions_v7"), 1, "there is no sessions_v7; there is accounts_v1, "),
    ],
)
async def test_what_cannot_be_done_is_said(
    chancery: Chancery, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    status, out, err = await chancery.cli("projections", *arguments)
    assert (status, out, sentence in err) == (code, "", True), err
