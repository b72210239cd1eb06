"""Accounts and their sessions as administrators see them, and who may look."""

from typing import Any

import pytest

from events.streams import new_id
from runtime.postgres import Postgres
from tests.support.admins import Admin, new_admin, token_of
from tests.support.chancery import OTHER_PASSWORD, PASSWORD, Chancery, bearer, new_email, problem_code
from tests.support.tasks import eventually

ACCOUNTS = "/v1/admin/accounts"


@pytest.fixture(scope="module")
async def admin(chancery: Chancery) -> Admin:
    return await new_admin(chancery)


async def test_an_account_is_found_by_any_spelling_of_its_address(chancery: Chancery, admin: Admin) -> None:
    person = await chancery.new_person(display_name="Ada")
    at = {"chancery-min-position": person.tokens["position"]}
    for email in (person.email, person.email.upper(), person.email.replace("A", "Ａ", 1)):
        answer = await admin.read(ACCOUNTS, params={"email": email}, headers=at)
        assert answer.status_code == 200, answer.text
        content = answer.json()
        assert (len(content["items"]), content["next"]) == (1, None)
    (found,) = content["items"]
    assert found == (await admin.read(f"{ACCOUNTS}/{person.account_id}", headers=at)).json()
    times = {name: found.pop(name) for name in ("created_at", "last_sign_in_at")}
    assert all(time.endswith("Z") for time in times.values())
    assert times["created_at"] < times["last_sign_in_at"]
    assert found == {
        "account_id": person.account_id,
        "status": "active",
        "email": person.email,
        "email_verified": True,
        "display_name": "Ada",
        "factors": [],
        **dict.fromkeys(("password_changed_at", "locked_until", "disabled_at", "closed_at", "erase_after")),
    }
    assert answer.headers["cache-control"] == "no-store"
    assert "chancery-position" in answer.headers


async def found_by(admin: Admin, email: str, at: dict[str, str]) -> dict[str, Any]:
    """The one account. That it holds a new address is known in that one's own partition, which no position here names."""
    items: list[dict[str, Any]] = []

    async def is_found() -> bool:
        answer = await admin.read(ACCOUNTS, params={"email": email}, headers=at)
        assert answer.status_code == 200, answer.text
        items[:] = answer.json()["items"]
        return bool(items)

    await eventually(is_found)
    (found,) = items
    return found


async def test_an_account_is_found_by_the_address_that_it_left_and_may_take_back(
    chancery: Chancery, admin: Admin
) -> None:
    for _ in range(4):  # addresses are random, so that most are in another partition than the account
        person, email = await chancery.new_person(), new_email()
        body = {"new_email": email, "password": PASSWORD}
        await chancery.command("POST", "/v1/me/email-changes", json=body, headers=person.bearer)
        code = {"code": await chancery.code_for(email)}
        changed = await chancery.command(
            "POST", "/v1/me/email-changes/confirm", json=code, headers=person.bearer
        )
        assert changed.status_code == 204, changed.text
        at = {"chancery-min-position": changed.headers["chancery-position"]}
        for address in (person.email, email, email.upper()):
            found = await found_by(admin, address, at)
            assert (found["account_id"], found["email"]) == (person.account_id, email)


async def test_a_registration_that_waits_for_its_code_is_found_too(chancery: Chancery, admin: Admin) -> None:
    email = new_email()
    for _ in range(2):
        await chancery.sign_up(email)
    code = await chancery.code_for(email, 2)
    waiting = (await admin.read(ACCOUNTS, params={"email": email})).json()["items"]
    assert [account["status"] for account in waiting] == ["pending"] * 2
    proven = (await chancery.verify(email, code)).json()
    at = {"chancery-min-position": proven["position"]}
    (found,) = (await admin.read(ACCOUNTS, params={"email": email}, headers=at)).json()["items"]
    assert (found["account_id"], found["status"]) == (proven["account_id"], "active")


async def test_an_address_that_nobody_has_finds_nobody(admin: Admin) -> None:
    answer = await admin.read(ACCOUNTS, params={"email": new_email()})
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next": None})


async def test_who_is_not_shown_yet_is_not_said_to_be_missing(chancery: Chancery, admin: Admin) -> None:
    """A row by hand stands for a partition that is behind: it names an account that no other row shows."""
    person = await chancery.new_person()
    at = {"chancery-min-position": person.tokens["position"]}
    assert (await admin.read(ACCOUNTS, params={"email": person.email}, headers=at)).status_code == 200
    postgres = await Postgres.open(chancery.settings["CHANCERY_POSTGRES_DSN"], max_connections=1)

    async def let_wait(*account_ids: str) -> None:
        names = (list(account_ids), person.account_id)
        await postgres.execute("update chancery.identifiers set waiting = $1 where holder = $2", *names)

    async def answers(email: str) -> tuple[int, int | str]:
        answer = await admin.read(ACCOUNTS, params={"email": email})
        is_found = answer.status_code == 200
        return answer.status_code, len(answer.json()["items"]) if is_found else problem_code(answer)

    async def cannot_tell() -> bool:
        return await answers(new_email()) == (503, "projection-behind")

    await let_wait(new_id())
    assert await answers(person.email) == (200, 1), (
        "all is complete, so that the other account does not exist"
    )
    await chancery.cli("projections", "pause", "tables")
    try:
        await eventually(cannot_tell, within_seconds=30)
        assert await answers(person.email) == (503, "projection-behind")
        await let_wait()
        assert await answers(person.email) == (200, 1)
    finally:
        await chancery.cli("projections", "resume", "tables")
        await postgres.close()


@pytest.mark.parametrize("email", ["", "x", "a@", "a\x00@example.com", "é", "%", "a" * 300 + "@example.com"])
async def test_what_is_no_address_is_refused_with_a_pointer(admin: Admin, email: str) -> None:
    answer = await admin.read(ACCOUNTS, params={"email": email})
    assert (answer.status_code, problem_code(answer)) == (422, "invalid-email")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/query/email"]


async def test_an_address_is_asked_for(admin: Admin) -> None:
    for parameters in ({}, {"email": "a" * 1001}):
        answer = await admin.read(ACCOUNTS, params=parameters)
        assert (answer.status_code, problem_code(answer)) == (422, "validation-failed")


async def test_a_lock_out_is_shown_while_it_lasts(chancery: Chancery, admin: Admin) -> None:
    person = await chancery.new_person()
    path = f"{ACCOUNTS}/{person.account_id}"
    for _ in range(10):
        await chancery.sign_in(person.email, OTHER_PASSWORD)
    passwords = {"current_password": OTHER_PASSWORD, "new_password": OTHER_PASSWORD + "!"}
    await chancery.command("PUT", "/v1/me/password", headers=person.bearer, json=passwords)
    renamed = await chancery.command("PATCH", "/v1/me", headers=person.bearer, json={"display_name": "x"})
    at = {"chancery-min-position": renamed.headers["chancery-position"]}
    assert (await admin.read(path, headers=at)).json()["locked_until"].endswith("Z")
    freed = await admin.ask("POST", path + "/unlock")
    at = {"chancery-min-position": freed.headers["chancery-position"]}
    assert (await admin.read(path, headers=at)).json()["locked_until"] is None


async def test_a_disabled_account_is_shown_as_it_is(chancery: Chancery, admin: Admin) -> None:
    person = await chancery.new_person()
    path = f"{ACCOUNTS}/{person.account_id}"
    for verb, status in (("disable", "disabled"), ("enable", "active")):
        done = await admin.ask("POST", f"{path}/{verb}")
        at = {"chancery-min-position": done.headers["chancery-position"]}
        shown = (await admin.read(path, headers=at)).json()
        assert (shown["status"], shown["disabled_at"] is not None) == (status, status == "disabled")
    assert (await admin.read(path + "/sessions", headers=at)).json() == {"sessions": []}


async def test_an_accounts_live_sessions_are_shown_newest_first(chancery: Chancery, admin: Admin) -> None:
    person = await chancery.new_person()
    second = (await chancery.sign_in(person.email, headers={"user-agent": "second device"})).json()
    path = f"{ACCOUNTS}/{person.account_id}/sessions"
    at = {"chancery-min-position": second["position"]}
    answer = await admin.read(path, headers=at)
    newest, oldest = answer.json()["sessions"]
    assert [newest["session_id"], oldest["session_id"]] == [second["session_id"], person.tokens["session_id"]]
    times = {newest.pop(name)[-1] for name in ("created_at", "last_seen_at", "expires_at")}
    assert times == {"Z"}
    assert newest == {
        "session_id": second["session_id"],
        "client_id": "chancery",
        "amr": ["pwd"],
        "acr": "aal1",
        "ip": "127.0.0.1",
        "user_agent": "second device",
    }


ODD_IDS = [
    new_id(),
    "x",
    "a" * 300,
    "..",
    "%00",
    "%ff",
    "chancery",
    new_id().upper(),
    new_id() + "%0a",
    "a" * 26 + "'",
]


@pytest.mark.parametrize("account_id", ODD_IDS)
@pytest.mark.parametrize("suffix", ["", "/sessions", "/timeline"])
async def test_an_account_that_never_was_is_not_found(admin: Admin, account_id: str, suffix: str) -> None:
    answer = await admin.read(f"{ACCOUNTS}/{account_id}{suffix}")
    assert answer.status_code == 404
    assert problem_code(answer) in {"account-not-found", "not-found"}


async def test_a_session_or_client_id_is_no_accounts(chancery: Chancery, admin: Admin) -> None:
    person = await chancery.new_person()
    for other in (person.tokens["session_id"], admin.client["client_id"], "signing-keys"):
        for suffix in ("", "/sessions", "/timeline"):
            answer = await admin.read(f"{ACCOUNTS}/{other}{suffix}")
            assert (answer.status_code, problem_code(answer)) == (404, "account-not-found")


@pytest.mark.parametrize(
    "path", [f"{ACCOUNTS}?email=a@example.com", f"{ACCOUNTS}/{new_id()}", f"{ACCOUNTS}/x/sessions"]
)
async def test_abuse_i4_only_a_client_with_the_scope_may_look(
    chancery: Chancery, admin: Admin, path: str
) -> None:
    async def tried(token: str | None) -> tuple[int, str]:
        headers = {} if token is None else bearer(token)
        answer = await chancery.query("GET", path, headers=headers)
        return answer.status_code, problem_code(answer)

    person = await chancery.new_person()
    narrow = await token_of(chancery, admin.client, scope="chancery.introspect")
    assert await tried(None) == (401, "missing-token")
    assert await tried("x.y.z") == (401, "invalid-token")
    assert await tried(person.tokens["access_token"]) == (403, "insufficient-scope")
    assert await tried(narrow) == (403, "insufficient-scope")
    headers = bearer(narrow)
    challenge = 'Bearer error="insufficient_scope", scope="chancery.admin"'
    assert (await chancery.query("GET", path, headers=headers)).headers["www-authenticate"] == challenge


async def test_a_read_waits_for_its_position(admin: Admin) -> None:
    for path in (
        f"{ACCOUNTS}?email=a@example.com",
        f"{ACCOUNTS}/{new_id()}",
        f"{ACCOUNTS}/{new_id()}/sessions",
    ):
        headers = {"chancery-min-position": "0:99999999", "prefer": "wait=0"}
        answer = await admin.read(path, headers=headers)
        assert (answer.status_code, problem_code(answer)) == (503, "projection-behind")


async def test_the_openapi_document_describes_these_reads(chancery: Chancery) -> None:
    document = (await chancery.http.get(chancery.query_url + "/openapi.json")).json()
    shapes = {
        "/v1/me/activity": "AuditPage",
        "/v1/admin/audit": "AuditPage",
        "/v1/admin/accounts/{account_id}/timeline": "AuditPage",
        "/v1/admin/accounts": "AccountPage",
        "/v1/admin/accounts/{account_id}": "AccountView",
        "/v1/admin/accounts/{account_id}/sessions": "LiveSessionsView",
    }
    for path, shape in shapes.items():
        answers = document["paths"][path]["get"]["responses"]
        assert answers["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/" + shape), path
        assert {"401", "403"} <= set(answers), path
    names = [parameter["name"] for parameter in document["paths"]["/v1/admin/audit"]["get"]["parameters"]]
    assert sorted(names) == ["account", "cursor", "from", "limit", "to", "type"]
