"""What happened, as owners and administrators are told: entries, pages under load, filters, and who may ask."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import httpx
import pytest

from events.streams import new_id
from tests.support.admins import Admin, new_admin, token_of
from tests.support.chancery import OTHER_PASSWORD, PASSWORD, Chancery, Person, bearer, new_email, problem_code

ACTIVITY = "/v1/me/activity"
AUDIT = "/v1/admin/audit"
MEMBERS = {
    "at", "position", "number", "type", "account_id", "client_id", "actor", "trace_id", "details", "ip", "user_agent",
}  # fmt: skip
Item = dict[str, Any]


@pytest.fixture(scope="module")
async def admin(chancery: Chancery) -> Admin:
    return await new_admin(chancery)


@pytest.fixture(scope="module")
async def busy(chancery: Chancery) -> Person:
    """Somebody with two dozen entries."""
    person = await chancery.new_person()
    for _ in range(10):
        assert (await chancery.sign_in(person.email, OTHER_PASSWORD + "!")).status_code == 401
        await chancery.sign_in(person.email)
    return person


async def own(chancery: Chancery, person: Person, **parameters: Any) -> httpx.Response:
    """The own activity, as of now."""
    latest = (await chancery.sign_in(person.email)).json()
    person.tokens = latest if "access_token" in latest else person.tokens
    at = {"chancery-min-position": person.tokens["position"]}
    return await chancery.query("GET", ACTIVITY, headers={**person.bearer, **at}, params=parameters)


async def walk(admin: Admin, path: str, **parameters: Any) -> list[Item]:
    """All pages. The position that the first one shows is that of all."""
    items: list[Item] = []
    answer = await admin.read(path, params=parameters)
    while True:
        assert answer.status_code == 200, answer.text
        content = answer.json()
        items += content["items"]
        if content["next"] is None:
            return items
        position = answer.headers["chancery-position"]
        answer = await admin.read(path, params={**parameters, "cursor": content["next"]})
        assert answer.headers["chancery-position"] == position


def key(item: Item) -> tuple[str, int]:
    return (item["position"], item["number"])


async def test_one_sees_what_happened_to_the_own_account_newest_first(chancery: Chancery) -> None:
    person = await chancery.new_person()
    headers = {"user-agent": "a phone"}
    assert (await chancery.sign_in(person.email, OTHER_PASSWORD, headers=headers)).status_code == 401
    body = {"display_name": "Countess"}
    await chancery.command("PATCH", "/v1/me", headers=person.bearer, json=body)
    passwords = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    changed = await chancery.command("PUT", "/v1/me/password", headers=person.bearer, json=passwords)
    assert changed.status_code == 204
    at = {"chancery-min-position": changed.headers["chancery-position"]}
    answer = await chancery.query("GET", ACTIVITY, headers={**person.bearer, **at})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    items = answer.json()["items"]
    assert answer.json()["next"] is None
    own_types = [item["type"] for item in items if not item["type"].startswith("identifier.")]
    assert own_types == [
        "password.changed",
        "profile.changed",
        "sign_in.failed",
        "session.started",
        "account.email_verified",
        "account.registered",
    ]
    assert [item["at"] for item in items] == sorted((item["at"] for item in items), reverse=True)
    assert all(set(item) == MEMBERS for item in items)
    assert {item["account_id"] for item in items} == {person.account_id}
    failed, started = items[2], items[3]
    assert (failed["details"], failed["ip"], failed["user_agent"]) == (
        {"cause": "wrong-password"},
        "127.0.0.1",
        "a phone",
    )
    assert failed["actor"] == {"kind": "anonymous", "id": None}
    assert items[0]["actor"] == {"kind": "account", "id": person.account_id}
    assert started["details"]["session_id"] == person.tokens["session_id"]
    assert started["position"] == person.tokens["position"]
    for secret in (person.email, person.email.lower(), "Countess", "argon2", "challenge", "identifier-"):
        assert secret not in answer.text


async def test_a_request_leaves_its_trace_in_what_it_did(chancery: Chancery, admin: Admin) -> None:
    person = await chancery.new_person()
    trace_id = "5bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    tokens = (await chancery.sign_in(person.email, headers=headers)).json()
    at = {"chancery-min-position": tokens["position"]}
    timeline = f"/v1/admin/accounts/{person.account_id}/timeline"
    (newest, *_) = (await admin.read(timeline, headers=at)).json()["items"]
    assert (newest["type"], newest["trace_id"]) == ("session.started", trace_id)


async def test_nobody_sees_what_happened_to_others(chancery: Chancery, busy: Person) -> None:
    other = await chancery.new_person()
    items = (await own(chancery, other)).json()["items"]
    assert {item["account_id"] for item in items} == {other.account_id}
    first = (await own(chancery, busy, limit=1)).json()
    stolen = await own(chancery, other, cursor=first["next"])
    assert (stolen.status_code, problem_code(stolen)) == (400, "bad-cursor")


async def test_abuse_c4_the_own_activity_does_not_tell_which_addresses_are_known(chancery: Chancery) -> None:
    person, stranger = await chancery.new_person(), await chancery.new_person()
    for email in (stranger.email, new_email()):
        body = {"new_email": email, "password": PASSWORD}
        asked = await chancery.command("POST", "/v1/me/email-changes", headers=person.bearer, json=body)
        assert asked.status_code == 202
    items = (await own(chancery, person)).json()["items"]
    changes = [item for item in items if item["type"].startswith("email_change.")]
    assert [(item["type"], item["details"]) for item in changes] == [("email_change.requested", {})] * 2


async def test_an_administrator_sees_the_whole_timeline_and_who_acted(
    chancery: Chancery, admin: Admin
) -> None:
    person, stranger = await chancery.new_person(), await chancery.new_person()
    body = {"new_email": stranger.email, "password": PASSWORD}
    await chancery.command("POST", "/v1/me/email-changes", headers=person.bearer, json=body)
    path = f"/v1/admin/accounts/{person.account_id}"
    done = await admin.ask("POST", path + "/disable")
    at = {"chancery-min-position": done.headers["chancery-position"]}
    items = (await admin.read(path + "/timeline", headers=at)).json()["items"]
    by_type = {item["type"]: item for item in items}
    assert by_type["account.disabled"]["actor"] == {"kind": "client", "id": admin.client["client_id"]}
    assert by_type["session.revoked"]["details"]["cause"] == "account-disabled"
    assert by_type["email_change.ignored"]["details"] == {"cause": "taken"}
    assert items == await walk(admin, path + "/timeline", limit=1)


async def test_the_audit_is_filtered_by_account_type_and_time(
    chancery: Chancery, admin: Admin, busy: Person
) -> None:
    account = {"account": busy.account_id}
    whole = await walk(admin, AUDIT, **account)
    assert whole == await walk(admin, f"/v1/admin/accounts/{busy.account_id}/timeline", limit=7)
    failed = [item for item in whole if item["type"] == "sign_in.failed"]
    assert len(failed) == 10
    assert await walk(admin, AUDIT, **account, type="sign_in.failed", limit=3) == failed
    since, until = failed[7]["at"], failed[2]["at"]
    between = await walk(admin, AUDIT, **account, type="sign_in.failed", **{"from": since, "to": until})
    assert between == failed[3:8]
    assert failed[0] in await walk(admin, AUDIT, type="sign_in.failed", limit=200)
    assert await walk(admin, AUDIT, type="nothing.happened") == []
    assert await walk(admin, AUDIT, account=new_id()) == []


async def test_machines_and_their_keepers_are_audited_too(chancery: Chancery, admin: Admin) -> None:
    made = await admin.register()
    done = await admin.ask("DELETE", f"/v1/admin/clients/{made['client_id']}")
    at = {"chancery-min-position": done.headers["chancery-position"]}
    answer = await admin.read(AUDIT, headers=at, params={"type": "client.deleted", "limit": 1})
    (item,) = answer.json()["items"]
    assert (item["client_id"], item["account_id"]) == (made["client_id"], None)
    assert item["actor"] == {"kind": "client", "id": admin.client["client_id"]}
    registered = await walk(admin, AUDIT, type="client.registered", limit=200)
    (own_entry,) = [one for one in registered if one["client_id"] == made["client_id"]]
    assert set(own_entry["details"]) == {"name", "scopes", "audiences"}
    assert await walk(admin, AUDIT, type="signing_key.created")


async def test_a_sign_in_with_an_unknown_address_is_seen_without_it(chancery: Chancery, admin: Admin) -> None:
    before = Counter(key(item) for item in await walk(admin, AUDIT, type="identifier.sign_in_failed"))
    assert (await chancery.sign_in(new_email())).status_code == 401
    await chancery.new_person()
    async with asyncio.timeout(10):
        while len(found := await walk(admin, AUDIT, type="identifier.sign_in_failed")) == len(before):  # noqa: ASYNC110  # the answer to a failed sign-in has no position
            await asyncio.sleep(0.05)  # projectors are other processes
    new = [item for item in found if key(item) not in before]
    assert [(item["account_id"], item["details"]) for item in new] == [(None, {"cause": "unknown"})]


async def test_pages_neither_skip_nor_repeat_while_people_sign_in(
    chancery: Chancery, admin: Admin, busy: Person
) -> None:
    others = [await chancery.new_person() for _ in range(3)]
    latest = ",".join(person.tokens["position"] for person in others)
    await admin.read(AUDIT, headers={"chancery-min-position": latest})
    stop = asyncio.Event()

    async def keep_signing_in(person: Person) -> int:
        count = 0
        while not stop.is_set():
            assert (await chancery.sign_in(person.email)).status_code == 201
            count += 1
        return count

    writers = [asyncio.create_task(keep_signing_in(person)) for person in (*others, busy)]
    try:
        for parameters in ({}, {"type": "session.started"}, {"account": busy.account_id}):
            there = {key(item) for item in await walk(admin, AUDIT, **parameters, limit=200)}
            seen = [key(item) for item in await walk(admin, AUDIT, **parameters, limit=11)]
            assert max(Counter(seen).values()) == 1
            assert there <= set(seen)
    finally:
        stop.set()
        signed_in = await asyncio.gather(*writers)
    assert all(signed_in)


CALLS = [AUDIT, f"/v1/admin/accounts/{new_id()}/timeline"]


@pytest.mark.parametrize("path", CALLS)
async def test_abuse_i4_only_a_living_client_with_the_scope_may_audit(
    chancery: Chancery, admin: Admin, path: str
) -> None:
    async def tried(token: str | None) -> tuple[int, str]:
        headers = {} if token is None else bearer(token)
        answer = await chancery.query("GET", path, headers=headers)
        return answer.status_code, problem_code(answer)

    person = await chancery.new_person()
    narrow = await token_of(chancery, admin.client, scope="chancery.introspect")
    elsewhere = await new_admin(chancery, "https://api.example.com")
    gone = await new_admin(chancery)
    assert await tried(None) == (401, "missing-token")
    assert await tried("x.y.z") == (401, "invalid-token")
    assert await tried(person.tokens["refresh_token"]) == (401, "invalid-token")
    assert await tried(admin.token[:-2]) == (401, "invalid-token")
    assert await tried(elsewhere.token) == (401, "invalid-token")
    assert await tried(person.tokens["access_token"]) == (403, "insufficient-scope")
    assert await tried(narrow) == (403, "insufficient-scope")
    await gone.ask("DELETE", f"/v1/admin/clients/{gone.client['client_id']}")
    await chancery.until_inactive(gone.token)
    assert await tried(gone.token) == (401, "invalid-token")


async def test_the_own_activity_wants_a_persons_token(chancery: Chancery, admin: Admin) -> None:
    for headers, code in (({}, "missing-token"), (bearer(admin.token), "invalid-token")):
        answer = await chancery.query("GET", ACTIVITY, headers=headers)
        assert (answer.status_code, problem_code(answer)) == (401, code)


async def test_a_cursor_is_good_for_its_own_walk_only(chancery: Chancery, admin: Admin, busy: Person) -> None:
    timeline = f"/v1/admin/accounts/{busy.account_id}/timeline"
    first = (await admin.read(AUDIT, params={"account": busy.account_id, "limit": 2})).json()
    cursor = first["next"]
    alone = await admin.read(AUDIT, params={"cursor": cursor, "limit": 2})
    same = await admin.read(AUDIT, params={"cursor": cursor, "limit": 2, "account": busy.account_id})
    assert alone.json() == same.json()
    wrong: list[tuple[str, dict[str, str]]] = [
        (timeline, {}),
        (AUDIT, {"account": new_id()}),
        (AUDIT, {"type": "sign_in.failed"}),
        (AUDIT, {"from": "2026-01-31T12:00:00Z"}),
        (AUDIT, {"to": "2999-01-31T12:00:00Z"}),
    ]
    for path, more in wrong:
        answer = await admin.read(path, params={"cursor": cursor, **more})
        assert (answer.status_code, problem_code(answer)) == (400, "bad-cursor"), (path, more)


async def test_a_cursor_that_was_not_made_here_is_refused(admin: Admin) -> None:
    cursor: str = (await admin.read(AUDIT, params={"limit": 1})).json()["next"]
    flipped = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    for odd in ("", "x", "null", "%00", cursor + "=", cursor[:-1], cursor + "A", flipped, "é", "a" * 40_000):
        answer = await admin.read(AUDIT, params={"cursor": odd})
        assert (answer.status_code, problem_code(answer)) == (400, "bad-cursor"), odd[:40]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *[("limit", odd) for odd in ("0", "-1", "201", "x", "", "1.5", "9" * 5000, "\x00")],
        *[("account", odd) for odd in ("", "x", "\x00", "a" * 26 + "\n", "A" * 26, "a" * 30_000, "' or 1=1")],
        *[("type", odd) for odd in ("", "x", "session.", "SESSION.STARTED", "a.b\x00", "a" * 5000 + ".b", "a.b\n")],
        *[("from", odd) for odd in ("", "x", "0", "1767225600", "2026-01-31", "2026-01-31T12:00:00")],
        *[("to", odd) for odd in ("2026-13-01T00:00:00Z", "2026-01-01T00:00:60Z", "0001-01-01T00:00:00+23:59")],
        *[("to", odd) for odd in ("9999-12-31T23:59:59-23:59", "٢٠٢٦-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n")],
    ],
)  # fmt: skip
async def test_a_parameter_of_another_shape_is_a_422_with_a_pointer(
    admin: Admin, parameter: str, value: str
) -> None:
    answer = await admin.read(AUDIT, params={parameter: value})
    assert (answer.status_code, problem_code(answer)) == (422, "validation-failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/query/{parameter}"]
    assert value == "" or len(value) < 5 or value not in answer.text


@pytest.mark.parametrize(
    "moment", ["2026-01-31t12:00:00z", "2026-01-31T12:00:00.1234567891Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)  # fmt: skip
async def test_any_time_of_rfc_3339_will_do(admin: Admin, moment: str) -> None:
    answer = await admin.read(AUDIT, params={"from": moment, "limit": 1})
    assert answer.status_code == 200, answer.text


async def test_the_past_is_not_answered_with_the_present(
    chancery: Chancery, admin: Admin, busy: Person
) -> None:
    account = f"/v1/admin/accounts/{busy.account_id}"
    past = {"as_of": "2026-01-31T12:00:00Z"}
    for path in (account, account + "/timeline", account + "/sessions"):
        answer = await admin.read(path, params=past)
        assert (answer.status_code, problem_code(answer)) == (404, "as-of-unavailable")
        answer = await chancery.query("GET", path, params=past)
        assert (answer.status_code, problem_code(answer)) == (401, "missing-token")


async def test_pages_wait_for_a_position_and_say_what_they_show(chancery: Chancery, admin: Admin) -> None:
    person = await chancery.new_person()
    at = {"chancery-min-position": person.tokens["position"]}
    answer = await admin.read(AUDIT, headers=at, params={"account": person.account_id})
    assert answer.json()["items"][0]["position"] == person.tokens["position"]
    partition, seq = person.tokens["position"].split(":")
    shown = dict(one.split(":") for one in answer.headers["chancery-position"].split(","))
    assert int(shown[partition]) >= int(seq)
    for position, status, code in (("x", 400, "bad-position"), ("0:99999999", 503, "projection-behind")):
        headers = {"chancery-min-position": position, "prefer": "wait=0"}
        refused = await admin.read(AUDIT, headers=headers)
        assert (refused.status_code, problem_code(refused)) == (status, code)
    assert refused.headers["retry-after"] == "1"


async def test_a_given_up_token_audits_no_more(chancery: Chancery) -> None:
    admin = await new_admin(chancery)
    assert (await admin.read(AUDIT)).status_code == 200
    basic = (admin.client["client_id"], admin.client["client_secret"])
    await chancery.command("POST", "/oauth/revoke", auth=basic, data={"token": admin.token})
    await chancery.until_inactive(admin.token)
    answer = await admin.read(AUDIT)
    assert (answer.status_code, problem_code(answer)) == (401, "invalid-token")
    fresh = replace(admin, token=await token_of(chancery, admin.client))
    assert (await fresh.read(AUDIT)).status_code == 200
