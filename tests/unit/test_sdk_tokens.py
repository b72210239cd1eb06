"""The SDK's verifier and middlewares, on keys and revocations that a test gives them."""

import time
from collections.abc import AsyncIterator, Iterable
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, Request

from chancery_sdk import token_feed
from chancery_sdk.asgi import GatewayIdentity, RequireToken
from chancery_sdk.claims import Claims, Key, read_keys
from chancery_sdk.fastapi import require
from chancery_sdk.tokens import (
    InvalidTokenError,
    Knowledge,
    StaleError,
    TokenVerifier,
    UnknownKeyError,
)
from tests.support.forge import ISSUER, KID, PAYLOAD, Mint

MINT = Mint.new()
KEYS = {KID: Key(kid=KID, alg="ES256", public=MINT.key.key)}


def token(life_seconds: int = 300, **members: object) -> str:
    now = int(time.time())
    return MINT.token(payload={**PAYLOAD, "iat": now, "exp": now + life_seconds, **members})


def fresh() -> Knowledge:
    now = time.monotonic()
    return Knowledge(keys=KEYS, keys_at=now, complete_at=now)


class Verifier(TokenVerifier):
    """With `check`, as the one that follows has it."""

    async def check(self, token: str) -> Claims:
        return self.verify(token)


def verifier(knowledge: Knowledge, most_cached: int = 10) -> Verifier:
    return Verifier(knowledge, issuer=ISSUER, audience="chancery", most_cached=most_cached)


@pytest.mark.parametrize("most_cached", [0, 1, 10])
def test_an_active_token_says_who_asks(most_cached: int) -> None:
    checks = verifier(fresh(), most_cached)
    for subject in ("acc-1", "acc-2", "acc-1"):
        claims = checks.verify(token(sub=subject))
        assert (claims.subject, claims.session_id) == (subject, "s1")
        assert claims.scopes == frozenset({"openid", "email"})


def test_an_expired_a_foreign_and_a_future_token_let_nobody_in() -> None:
    checks = verifier(fresh())
    ahead = int(time.time()) + 60
    for bad in (token(0), token(aud="others"), token(iss="others"), token(iat=ahead), "x.y.z", ""):
        with pytest.raises(InvalidTokenError):
            checks.verify(bad)


def test_a_cached_token_expires_too() -> None:
    checks, short = verifier(fresh()), token(1)
    checks.verify(short)
    time.sleep(1)  # its life
    with pytest.raises(InvalidTokenError, match="expired"):
        checks.verify(short)


def test_a_revocation_refuses_by_session_client_and_token_also_from_the_cache() -> None:
    knowledge = fresh()
    checks = verifier(knowledge)
    person, machine = token(), MINT.token(payload=_machine())
    for active, named in ((person, "s1"), (person, "token-1"), (machine, "client-1"), (machine, "token-1")):
        knowledge.revoked = {}
        checks.verify(active)
        knowledge.revoked = {named: 0}
        with pytest.raises(InvalidTokenError, match="revoked"):
            checks.verify(active)
    knowledge.revoked = {"chancery": 0}
    checks.verify(person)


def _machine() -> dict[str, object]:
    now = int(time.time())
    kept = {name: PAYLOAD[name] for name in ("iss", "aud", "jti", "scope")}
    return {**kept, "sub": "client-1", "client_id": "client-1", "iat": now, "exp": now + 300}


def test_a_key_that_is_gone_takes_its_tokens_along() -> None:
    knowledge = fresh()
    checks, active = verifier(knowledge), token()
    checks.verify(active)
    knowledge.keys = {}
    with pytest.raises(UnknownKeyError):
        checks.verify(active)


@pytest.mark.parametrize("what", ["complete_at", "keys_at"])
def test_old_knowledge_says_so_and_a_revoked_token_stays_refused(what: str) -> None:
    knowledge = fresh()
    checks, active = verifier(knowledge), token()
    checks.verify(active)
    setattr(knowledge, what, float("-inf"))
    with pytest.raises(StaleError):
        checks.verify(active)
    knowledge.revoked = {"s1": 0}
    with pytest.raises(InvalidTokenError):
        checks.verify(active)


def test_a_heartbeat_that_was_under_way_for_long_makes_nothing_fresh() -> None:
    now = time.monotonic()
    delay = token_feed._Delay(began=now - 0.01)  # noqa: SLF001  # no network can be told to be late
    elsewhere = 1_000_000.0
    assert 9 <= delay.of(elsewhere) <= 200
    assert 4900 <= delay.of(elsewhere - 5000) - delay.of(elsewhere) <= 5100


def test_keys_of_other_kinds_are_left_out() -> None:
    weak = {"kty": "oct", "k": "c2VjcmV0", "kid": "weak", "alg": "HS256"}
    broken = {**MINT.jwk, "x": "!", "kid": "broken", "alg": "ES256"}
    good = {**MINT.jwk, "kid": KID, "alg": "ES256"}
    document = {
        "keys": [weak, broken, good, {**MINT.jwk, "alg": "ES256"}, {**good, "kid": "r", "alg": "RS256"}]
    }
    assert set(read_keys(httpx.Response(200, json=document).content)) == {KID}


@pytest.fixture
async def service() -> AsyncIterator[tuple[httpx.AsyncClient, Knowledge]]:
    """One application with a middleware and one with the dependency, each at its path."""
    knowledge = fresh()
    checks = verifier(knowledge)
    inner, outer = FastAPI(), FastAPI()

    @inner.get("/")
    async def behind_the_middleware(request: Request) -> str:
        return str(request.state.claims.subject)

    caller = require(lambda: checks, "email")

    @outer.get("/dependency")
    async def with_the_dependency(claims: Annotated[Claims, Depends(caller)]) -> str:
        return claims.subject

    outer.mount("/middleware", RequireToken(inner, lambda: checks, ["email"]))
    transport = httpx.ASGITransport(app=outer)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client, knowledge


@pytest.mark.parametrize("path", ["/middleware/", "/dependency"])
async def test_a_service_lets_in_who_has_an_active_token_with_the_scope(
    service: tuple[httpx.AsyncClient, Knowledge], path: str
) -> None:
    client, knowledge = service

    async def ask(*authorization: str) -> tuple[int, str]:
        headers = [("authorization", value) for value in authorization]
        answer = await client.get(path, headers=headers)
        return answer.status_code, answer.headers.get("www-authenticate", "")

    active = f"Bearer {token()}"
    assert await ask(active) == (200, "")
    assert await ask() == (401, "Bearer")
    assert await ask(active, active) == (401, "Bearer")
    assert await ask("Basic eDp5") == (401, "Bearer")
    assert await ask("Bearer x.y.z") == (401, 'Bearer error="invalid_token"')
    assert await ask(f"Bearer {token(scope='openid')}") == (
        403,
        'Bearer error="insufficient_scope", scope="email"',
    )
    knowledge.complete_at = float("-inf")
    assert await ask(active) == (503, "")


PERSON = (("X-Auth-Account", "a1"), ("X-Auth-Session", "s1"), ("X-Auth-Scopes", "openid email"))
MACHINE = (("x-auth-client", "c1"), ("x-auth-scopes", "reports"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (PERSON, 200),
        (MACHINE, 200),
        ((), 401),
        (PERSON[:1], 401),
        (PERSON[1:], 401),
        (PERSON[2:], 401),
        ((("x-auth-account", ""), *PERSON[1:]), 401),
        ((*PERSON, ("X_Auth_Account", "admin")), 400),
        ((*PERSON, ("x_auth-account", "admin")), 400),
        ((*PERSON, ("x-auth_scopes", "chancery.admin")), 400),
        ((*PERSON, ("X-Auth-Account", "admin")), 400),
        ((*PERSON, *MACHINE[:1]), 400),
        ((("x_auth_account", "admin"), ("x_auth_session", "s")), 400),
    ],
)
async def test_abuse_k1_identity_headers_that_no_gateway_sends_are_refused(
    headers: Iterable[tuple[str, str]], status: int
) -> None:
    app = FastAPI()

    @app.get("/")
    async def who(request: Request) -> list[str | None]:
        identity = request.state.identity
        return [identity.account_id, identity.client_id, *sorted(identity.scopes)]

    transport = httpx.ASGITransport(app=GatewayIdentity(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answer = await client.get("/", headers=list(headers))
    assert answer.status_code == status
    if status == 200:
        assert answer.json() in (["a1", None, "email", "openid"], [None, "c1", "reports"])
