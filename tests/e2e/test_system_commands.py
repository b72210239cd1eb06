"""Commands of our own workers: who is let in, what it leaves in the log, and that repetitions leave nothing."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from events.streams import account_stream, new_id
from projectors.system_commands import CommandApi, CommandRefusedError
from runtime.keys import derive_keys
from runtime.serving.forwarded import SYSTEM
from runtime.serving.stamps import LONGEST_MS, SignedRequest, signed, stamp
from runtime.settings import Settings, secret_bytes
from tests.e2e.conftest import command_process
from tests.support.admins import Admin, new_admin
from tests.support.chancery import Chancery, Person, problem_code
from tests.support.log_reading import read_log

PATH = "/v1/system/mail-bounces"
FELLOWS = {"CHANCERY_FORWARDING": "on"}


def settings_of(chancery: Chancery) -> Settings:
    names = {name.removeprefix("CHANCERY_").lower(): value for name, value in chancery.settings.items()}
    return Settings(**{name: value for name, value in names.items() if name in Settings.model_fields})  # type: ignore[arg-type]  # text, as variables are


@pytest.fixture(scope="module")
async def api(chancery: Chancery) -> AsyncIterator[CommandApi]:
    opened = CommandApi.of(settings_of(chancery), "mailer")
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
async def admin(chancery: Chancery) -> Admin:
    return await new_admin(chancery)


@pytest.fixture(scope="module")
async def person(chancery: Chancery) -> Person:
    return await chancery.new_person()


def request_for(account_id: str, key: str = "k1") -> SignedRequest:
    body = {"account_id": account_id, "message_id": "<signed@example.com>", "kind": "verification"}
    return SignedRequest(
        method="POST",
        target=PATH,
        headers={"content-type": "application/json", "idempotency-key": key},
        body=json.dumps(body).encode(),
        client="mailer",
        seconds=2,
    )


async def ask(chancery: Chancery, request: SignedRequest, said: str | bytes | None) -> httpx.Response:
    headers: dict[str, str | bytes] = {**request.headers}
    if said is not None:
        headers[SYSTEM.header] = said
    return await chancery.command("POST", request.target, content=request.body, headers=headers)


async def bounces(chancery: Chancery, account_id: str) -> list[tuple[str, str, str]]:
    """Of an account, in the log: the actor's kind and id, and the mail."""
    log = await read_log(chancery.settings)
    return [
        (commit.commit.actor.kind, commit.commit.actor.id, event.data["message_id"])
        for commit in log.values()
        for event in commit.commit.events
        if (event.stream, event.type) == (account_stream(account_id), "mail.bounced")
    ]


async def test_a_bounced_mail_becomes_one_fact_however_often_it_is_reported(
    chancery: Chancery, api: CommandApi, admin: Admin
) -> None:
    person = await chancery.new_person()
    said = {"account_id": person.account_id, "message_id": "<m1@example.com>", "kind": "password-reset"}
    await asyncio.gather(*(api.report_mail_bounced(**said) for _ in range(4)))
    await api.give("mail-bounces", said, key="as if it was a day later")
    assert await bounces(chancery, person.account_id) == [("system", "mailer", "<m1@example.com>")]
    tokens = (await chancery.sign_in(person.email)).json()
    at = {"chancery-min-position": tokens["position"]}
    timeline = await admin.read(f"/v1/admin/accounts/{person.account_id}/timeline", headers=at)
    (entry,) = [item for item in timeline.json()["items"] if item["type"] == "mail.bounced"]
    assert entry["actor"] == {"kind": "system", "id": "mailer"}
    assert entry["details"] == {"message_id": "<m1@example.com>", "kind": "password-reset"}


async def test_a_command_is_decided_where_its_partition_prefers(chancery: Chancery, api: CommandApi) -> None:
    """The process that decides checks the worker's stamp again: it came with the call that was handed on."""
    people = await asyncio.gather(*(chancery.new_person() for _ in range(8)))
    async with command_process(chancery, FELLOWS) as (fellow, _):
        other = CommandApi.of(
            settings_of(
                replace(chancery, settings={**chancery.settings, "CHANCERY_SYSTEM_URL": fellow.command_url})
            ),
            "mailer",
        )
        await asyncio.sleep(1.2)  # both have heard of one another
        for person in people:
            for asked in (api, other):
                said = {"account_id": person.account_id, "message_id": "<m@example.com>", "kind": "notice"}
                await asked.report_mail_bounced(**said)
        await other.close()
    for person in people:
        assert await bounces(chancery, person.account_id) == [("system", "mailer", "<m@example.com>")]


async def test_an_account_that_nobody_has_is_a_refusal(api: CommandApi) -> None:
    for account_id in (new_id(), "no id", "../admin"):
        with pytest.raises(CommandRefusedError, match="account-not-found"):
            await api.report_mail_bounced(
                account_id=account_id, message_id="<unknown@example.com>", kind="verification"
            )


@pytest.mark.parametrize(
    "wrong", [{"message_id": "m"}, {"message_id": "<a\nb>"}, {"kind": "No Slug"}, {"account_id": ""}]
)
async def test_what_has_another_shape_is_a_refusal(
    api: CommandApi, person: Person, wrong: dict[str, str]
) -> None:
    said = {"account_id": person.account_id, "message_id": "<m@example.com>", "kind": "verification", **wrong}
    with pytest.raises(CommandRefusedError):
        await api.report_mail_bounced(**said)


async def test_nobody_else_is_let_in(chancery: Chancery, person: Person) -> None:
    keys = derive_keys(secret_bytes(SecretStr(chancery.settings["CHANCERY_SECRET_KEY"])))
    request = request_for(person.account_id)
    now = int(time.time() * 1000)
    good = stamp(SYSTEM, keys.system_key, request)
    stamps = {
        "none": None,
        "nonsense": "v1;1;1;mailer;x",
        "not ASCII": "v1;1;1;mailer;é".encode("latin-1"),
        "another key": stamp(SYSTEM, bytes(32), request),
        "the key of forwarded calls": stamp(SYSTEM, keys.channel_key, request),
        "no worker": stamp(SYSTEM, keys.system_key, replace(request, client="admin")),
        "another worker's name on it": good.replace("mailer", "risk"),
        "another body": stamp(SYSTEM, keys.system_key, replace(request, body=b"{}")),
        "another path": stamp(SYSTEM, keys.system_key, replace(request, target="/v1/system/other")),
        "old": signed(f"v1;{now - LONGEST_MS - 1000};2000;mailer", SYSTEM, keys.system_key, request),
        "of the future": signed(
            f"v1;{now + LONGEST_MS + 5000};2000;mailer", SYSTEM, keys.system_key, request
        ),
    }
    for name, said in stamps.items():
        answer = await ask(chancery, request, said)
        assert (answer.status_code, problem_code(answer)) == (403, "not-a-worker"), name
    other_key = replace(request, headers={**request.headers, "idempotency-key": "k2"})
    assert (await ask(chancery, other_key, good)).status_code == 403
    assert await bounces(chancery, person.account_id) == []
    bearer = await chancery.command(
        "POST", PATH, content=request.body, headers={**request.headers, **person.bearer}
    )
    assert bearer.status_code == 403


@pytest.mark.parametrize("name", ["mail-bounces", "session-flags", "step-ups", "owner-notices"])
async def test_no_path_of_workers_takes_a_call_of_anybody_else(
    chancery: Chancery, person: Person, name: str
) -> None:
    good = {"account_id": person.account_id, "reason": "guessing-source", "session_id": "s"}
    good |= {"message_id": "<m@example.com>", "kind": "k", "notice_id": "n"}
    fields = {
        "mail-bounces": ("account_id", "message_id", "kind"),
        "session-flags": ("account_id", "session_id", "reason"),
        "step-ups": ("account_id", "reason"),
        "owner-notices": ("account_id", "notice_id", "reason"),
    }[name]
    body = {field: good[field] for field in fields}
    answer = await chancery.command("POST", f"/v1/system/{name}", json=body, headers=person.bearer)
    assert (answer.status_code, problem_code(answer)) == (403, "not-a-worker")


async def test_a_command_without_a_key_is_refused_and_one_that_was_overheard_does_nothing(
    chancery: Chancery,
) -> None:
    person = await chancery.new_person()
    key = derive_keys(secret_bytes(SecretStr(chancery.settings["CHANCERY_SECRET_KEY"]))).system_key
    keyless = replace(request_for(person.account_id), headers={"content-type": "application/json"})
    answer = await ask(chancery, keyless, stamp(SYSTEM, key, keyless))
    assert (answer.status_code, problem_code(answer)) == (400, "bad-idempotency-key")
    request = request_for(person.account_id)
    said = stamp(SYSTEM, key, request)
    for _ in range(3):
        assert (await ask(chancery, request, said)).status_code == 204
    assert len(await bounces(chancery, person.account_id)) == 1


async def test_the_paths_of_workers_are_not_shown_to_clients(chancery: Chancery) -> None:
    document = (await chancery.command("GET", "/openapi.json")).json()
    assert not [path for path in document["paths"] if path.startswith("/v1/system")]
