"""Signing keys are rotated with overlap: nobody's token stops being good, and the old key leaves at its time."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import jwt
import pytest

from chancery_sdk.token_feed import Source, open_tokens
from events.streams import new_id
from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from runtime.access_token import key_named_by
from tests.e2e.conftest import open_chancery, second_command_process
from tests.support.admins import grant, token_of
from tests.support.chancery import Chancery, bearer, problem_code
from tests.support.log_reading import read_log
from tests.support.rpc import asking
from tests.support.tasks import eventually
from tests.support.unlimited import UNLIMITED

ROTATE = "/v1/admin/signing-keys/rotate"
LIFE_SECONDS = 30


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    """Tokens live as short as they may here, so that a key's whole life can be seen."""
    home = tmp_path_factory.mktemp("rotation")
    short = {"CHANCERY_ACCESS_TOKEN_SECONDS": str(LIFE_SECONDS)}
    try:
        environment = {**os.environ, **UNLIMITED, **free_port_variables(), **short}
        yield start_stack(home, environment, lifetime="caller")
    finally:
        stop_stack(home)


@pytest.fixture(scope="module")
async def own(own_stack: StackInfo) -> AsyncIterator[Chancery]:
    async with open_chancery(own_stack) as opened:
        yield opened


@pytest.fixture(scope="module")
async def admin(own: Chancery) -> dict[str, str]:
    return await own.new_client("chancery.admin,chancery.introspect")


async def rotate(chancery: Chancery, admin: dict[str, str], **headers: str) -> dict[str, str]:
    token = await token_of(chancery, admin)
    answer = await chancery.command("POST", ROTATE, headers={**bearer(token), **headers})
    assert answer.status_code == 200, answer.text
    content: dict[str, str] = answer.json()
    assert list(content) == ["kid", "activates_at", "position"]
    assert answer.headers["chancery-position"] == content["position"]
    return content


async def key_set(chancery: Chancery) -> dict[str, dict[str, Any]]:
    answer = await chancery.query("GET", "/.well-known/jwks.json")
    assert answer.status_code == 200
    return {key["kid"]: key for key in answer.json()["keys"]}


async def is_good(chancery: Chancery, token: str) -> bool:
    """By introspection, by forward-auth and by whoever checks the signature alone."""
    forward = await chancery.query("GET", "/v1/forward-auth", headers=bearer(token))
    jwk = (await key_set(chancery))[str(key_named_by(token))]
    key = jwt.PyJWK(jwk).key
    jwt.decode(token, key, algorithms=[jwk["alg"]], audience="chancery", options={"verify_iat": False})
    return bool((await chancery.introspect(token))["active"]) and forward.status_code == 200


async def test_the_new_key_signs_at_once_and_the_old_tokens_stay_good(
    own: Chancery, admin: dict[str, str]
) -> None:
    person = await own.new_person()
    old = person.tokens["access_token"]
    made = await rotate(own, admin)
    keys = await key_set(own)
    assert {made["kid"], key_named_by(old)} <= set(keys)
    assert not any({"d", "p", "q"} & set(key) for key in keys.values())
    new = (await own.sign_in(person.email)).json()["access_token"]
    assert key_named_by(new) == made["kid"] != key_named_by(old)
    assert await is_good(own, new)
    assert await is_good(own, old)
    for token in (old, new):
        renamed = await own.command("PATCH", "/v1/me", headers=bearer(token), json={"display_name": "A"})
        assert renamed.status_code == 204


async def test_a_token_by_a_new_key_is_good_from_its_first_moment_for_everybody(
    own: Chancery, admin: dict[str, str]
) -> None:
    """Checked without any pause around the time at which signing goes over to the new key, also in other services."""
    port = int(free_port_variables()["CHANCERY_COMMAND_PORT"])
    source = Source(url=own.query_url, **own.client)
    async with (
        second_command_process(own, port, {}) as twin,
        open_tokens(source, audience="chancery") as sdk,
        asking(own) as caller,
    ):
        before = set(await key_set(own))
        rotation = asyncio.create_task(rotate(own, admin))
        seen: set[str | None] = set()
        until = time.monotonic() + 4
        while time.monotonic() < until:
            for issuing in (own, twin):
                published = await key_set(own)
                token = await token_of(issuing, admin)
                assert key_named_by(token) in published
                assert (await own.introspect(token))["active"]
                assert (await sdk.check(token)).client_id == admin["client_id"]
                assert (await caller.validate(token)).active
                for asked in (own, twin):
                    answer = await asked.command(
                        "DELETE", f"/v1/admin/clients/{new_id()}", headers=bearer(token)
                    )
                    assert problem_code(answer) == "client-not-found"
                seen.add(key_named_by(token))
        kid = (await rotation)["kid"]
        assert kid in seen
        assert kid not in before


async def test_a_repeated_rotation_makes_one_key(own: Chancery, admin: dict[str, str]) -> None:
    key = {"idempotency-key": new_id()}
    first = await rotate(own, admin, **key)
    assert await rotate(own, admin, **key) == first


async def test_abuse_i4_rotation_is_for_administrators(own: Chancery, admin: dict[str, str]) -> None:
    person = await own.new_person()
    narrow = await token_of(own, admin, scope="chancery.introspect")
    expected = {None: 401, "x": 401, person.tokens["access_token"]: 403, narrow: 403}
    for token, status in expected.items():
        headers = {} if token is None else bearer(token)
        assert (await own.command("POST", ROTATE, headers=headers)).status_code == status


@pytest.mark.parametrize(("alg", "kty"), [("EdDSA", "OKP"), ("RS256", "RSA"), ("ES256", "EC")])
async def test_the_command_line_rotates_to_the_configured_algorithm(
    own: Chancery, admin: dict[str, str], alg: str, kty: str
) -> None:
    more = {"CHANCERY_SIGNING_ALGORITHM": alg}
    code, out, err = await own.cli("keys", "rotate", "--json", more=more)
    made = json.loads(out)
    assert (code, err) == (0, "")
    assert list(made) == ["kid", "alg", "activates_at", "others_retire_at", "position"]
    token = await token_of(own, admin)
    assert (key_named_by(token), jwt.get_unverified_header(token)["alg"]) == (made["kid"], alg)
    assert await is_good(own, token)
    assert (await key_set(own))[made["kid"]]["kty"] == kty
    metadata = (await own.query("GET", "/.well-known/openid-configuration")).json()
    assert alg in metadata["id_token_signing_alg_values_supported"]


async def test_the_command_line_speaks_to_people_too(own: Chancery) -> None:
    code, out, _ = await own.cli("keys", "rotate")
    assert code == 0
    assert " signs from " in out


async def test_abuse_m6_the_old_key_leaves_once_its_last_token_has_expired(
    own: Chancery, admin: dict[str, str]
) -> None:
    last_token = await token_of(own, admin)
    old = key_named_by(last_token)
    made = await rotate(own, admin)
    activates_at = datetime.fromisoformat(made["activates_at"])
    while old in await key_set(own):
        asked_at = time.time()
        is_active = (await own.introspect(last_token))["active"]
        claims = jwt.decode(last_token, options={"verify_signature": False})
        assert is_active or asked_at > claims["exp"] - 1
        await asyncio.sleep(0.5)  # between two looks at what time alone changes
    left_after = time.time() - activates_at.timestamp()
    assert LIFE_SECONDS <= left_after < LIFE_SECONDS + 15
    assert made["kid"] in await key_set(own)
    assert await own.introspect(last_token) == {"active": False}
    assert (await grant(own, admin)).status_code == 200
    await eventually(lambda: is_retired(own, str(old)))


async def is_retired(chancery: Chancery, kid: str) -> bool:
    """Whether the log says so; the private half is forgotten then."""
    commits = await read_log(chancery.settings)
    facts = [event for one in commits.values() for event in one.commit.events]
    return any(event.type == "signing_key.retired" and event.data["kid"] == kid for event in facts)
