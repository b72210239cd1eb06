"""How far the read models are, over HTTP and on the command line."""

import asyncio
import json
from typing import Any

import pytest

from readmodels.tables import READ_MODELS
from runtime.postgres import Postgres
from tests.support.admins import Admin, new_admin, token_of
from tests.support.chancery import Chancery, bearer, new_email, problem_code
from tests.support.log_reading import read_log

PROJECTIONS = "/v1/admin/projections"

PROJECTORS = [*(f"{read_model}_v1" for read_model in sorted(READ_MODELS)), "valkey_v1"]


@pytest.fixture(scope="module")
async def admin(chancery: Chancery) -> Admin:
    return await new_admin(chancery)


async def shown(admin: Admin) -> dict[str, dict[str, Any]]:
    answer = await admin.read(PROJECTIONS)
    assert answer.status_code == 200, answer.text
    assert answer.json()["next"] is None
    return {item["projector"]: item for item in answer.json()["items"]}


async def test_every_projector_is_shown_partition_by_partition(chancery: Chancery, admin: Admin) -> None:
    person = await chancery.new_person()
    number, seq = (int(part) for part in person.tokens["position"].split(":"))
    async with asyncio.timeout(10):
        while True:
            found = await shown(admin)
            partition = found["valkey_v1"]["partitions"][number]
            is_there = partition["position"] is not None and int(partition["position"].split(":")[1]) >= seq
            if is_there and {item["state"] for item in found.values()} == {"live"}:
                break
            await asyncio.sleep(0.1)  # reports come once a second
    assert list(found) == PROJECTORS
    for name, item in found.items():
        assert item["version"] == int(name.rpartition("_v")[2])
        assert (item["lag_records"], item["parked_streams"]) == (0, [])
        assert 0 <= item["lag_seconds"] < 5
        assert [one["partition"] for one in item["partitions"]] == list(range(8))
        assert all(one["position"].startswith(f"{one['partition']}:") for one in item["partitions"])
        assert {(one["state"], one["reason"]) for one in item["partitions"]} == {("live", None)}


async def test_abuse_i4_only_a_client_with_the_scope_may_look(chancery: Chancery, admin: Admin) -> None:
    person = await chancery.new_person()
    narrow = await token_of(chancery, admin.client, scope="chancery.introspect")
    for headers, expected in (
        ({}, (401, "missing-token")),
        (bearer("x"), (401, "invalid-token")),
        (person.bearer, (403, "insufficient-scope")),
        (bearer(narrow), (403, "insufficient-scope")),
    ):
        answer = await chancery.query("GET", PROJECTIONS, headers=headers)
        assert (answer.status_code, problem_code(answer)) == expected


async def test_the_openapi_document_describes_it(chancery: Chancery) -> None:
    document = (await chancery.http.get(chancery.query_url + "/openapi.json")).json()
    answers = document["paths"][PROJECTIONS]["get"]["responses"]
    assert answers["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Projections")


async def test_lag_is_measured(chancery: Chancery) -> None:
    url = f"http://127.0.0.1:{chancery.settings['CHANCERY_PROJECTORS_PORT']}/metrics"
    text = (await chancery.http.get(url)).text
    for consumer in ("tables", "valkey_v1"):
        for measure in ("records", "seconds"):
            assert f'chancery_projector_lag_{measure}{{consumer="{consumer}",partition="7"}}' in text


async def test_the_command_line_tells_the_same(chancery: Chancery) -> None:
    async with asyncio.timeout(30):
        while (answer := await chancery.cli("projections", "status", "--json"))[0] != 0:  # noqa: ASYNC110  # other processes have no event
            await asyncio.sleep(0.2)  # another test's load may be applied first
    told = json.loads(answer[1])
    assert (told["ok"], [one["projector"] for one in told["projectors"]]) == (True, PROJECTORS)
    code, out, _ = await chancery.cli("projections", "status")
    assert code in (0, 1)
    assert [line.split()[0] for line in out.splitlines() if not line.startswith(" ")] == PROJECTORS


async def test_the_command_line_fails_where_a_lag_is_too_long(chancery: Chancery) -> None:
    more = {"CHANCERY_PROJECTION_LAG_SECONDS": "0.000001"}
    code, out, _ = await chancery.cli("projections", "status", "--json", more=more)
    assert (code, json.loads(out)["ok"]) == (1, False)
    assert "behind" in {one["state"] for one in json.loads(out)["projectors"]}


@pytest.mark.parametrize(
    "more",
    [
        {"CHANCERY_KAFKA_BOOTSTRAP": "127.0.0.1:1"},
        {"CHANCERY_POSTGRES_DSN": "postgresql://postgres@127.0.0.1:1/postgres"},
    ],
)
async def test_the_command_line_says_when_nobody_answers(chancery: Chancery, more: dict[str, str]) -> None:
    code, out, err = await chancery.cli("projections", "status", more=more)
    assert (code, out) == (3, "")
    assert "Traceback" not in err


async def test_what_is_parked_is_shown_and_applied_again_on_demand(chancery: Chancery, admin: Admin) -> None:
    """Parked by hand, because no fact of a sound projector ever is."""
    person = await chancery.new_person()
    stream = f"account-{person.account_id}"
    log = (await read_log(chancery.settings)).values()
    (first,) = [one for one in log if any(e.stream == stream and e.version == 1 for e in one.commit.events)]
    (number,) = [n for n, event in enumerate(first.commit.events) if event.stream == stream]
    postgres = await Postgres.open(chancery.settings["CHANCERY_POSTGRES_DSN"], max_connections=1)
    try:
        await postgres.execute(
            "insert into chancery.parked_facts values ('accounts_v1', $1, $2, $3, $4, $5, 'x', 'by hand')",
            stream,
            first.position.partition,
            first.position.seq,
            number,
            first.offset,
        )
    finally:
        await postgres.close()
    (parked,) = (await shown(admin))["accounts_v1"]["parked_streams"]
    assert (parked["stream"], parked["position"]) == (stream, str(first.position))
    assert (parked["facts"], parked["reason"]) == (1, "by hand")
    status, out, _ = await chancery.cli("projections", "status")
    assert f"  parked {stream}: 1 from {first.position} on, by hand" in out
    assert await chancery.cli("projections", "retry", "audit_v1") == (
        0,
        "Nothing is parked in audit_v1.\n",
        "",
    )
    status, out, err = await chancery.cli("projections", "retry", "accounts_v1", "--stream", stream)
    assert (status, out) == (0, f"{stream}: applied\n"), err
    status, out, _ = await chancery.cli("projections", "retry", "accounts_v1", "--json")
    assert (status, json.loads(out)) == (0, {"ok": True, "streams": []})
    assert (await shown(admin))["accounts_v1"]["parked_streams"] == []


async def test_a_projector_that_does_not_exist_cannot_be_retried(chancery: Chancery) -> None:
    status, _, err = await chancery.cli("projections", "retry", "accounts_v9")
    assert (status, "accounts_v9 is none of accounts_v1, " in err) == (2, True)


async def test_a_consumer_stands_still_until_it_is_told_to_go_on(chancery: Chancery) -> None:
    assert await chancery.cli("projections", "pause", "tables") == (0, "tables stands still.\n", "")
    try:
        status, out, _ = await chancery.cli("projections", "status")
        assert (status, out.count(" paused "), "valkey_v1            live" in out) == (
            1,
            len(READ_MODELS),
            True,
        )
        answer = await chancery.sign_up(new_email())
        assert answer.status_code == 202
    finally:
        status, out, err = await chancery.cli("projections", "resume", "tables", "--json")
    assert (status, json.loads(out)) == (0, {"ok": True, "consumer": "tables"}), err
    person = await chancery.new_person()
    headers = {**person.bearer, "chancery-min-position": person.tokens["position"], "prefer": "wait=10"}
    assert (await chancery.query("GET", "/v1/me", headers=headers)).status_code == 200
    status, _, err = await chancery.cli("projections", "pause", "valkey")
    assert (status, "valkey is none of tables, mailer, relay" in err) == (2, True)
