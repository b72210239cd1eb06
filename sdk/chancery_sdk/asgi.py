"""ASGI middlewares for services that are called with Chancery's access tokens, or stand behind a gateway that checks them.

Both leave who asks in `scope["state"]`, where Starlette and FastAPI show it as `request.state`.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from chancery_sdk.claims import Claims
from chancery_sdk.tokens import InvalidTokenError, StaleError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


class Checks(Protocol):
    """Such as `chancery_sdk.token_feed.Tokens`."""

    async def check(self, token: str) -> Claims: ...


class RefusalError(Exception):
    """The answer to who is not let in (RFC 6750 section 3), as a problem document (RFC 9457)."""

    def __init__(self, status: int, title: str, challenge: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.challenge = challenge


async def claims_of(headers: Headers, checks: Checks, scopes: Iterable[str] = ()) -> Claims:
    """Of the request's one bearer token, which must be active and have these scopes. RefusalError otherwise."""
    sent = [value.decode("latin-1") for name, value in headers if name == b"authorization"]
    scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise RefusalError(401, "Send one access token.", "Bearer")
    try:
        claims = await checks.check(token.strip())
    except InvalidTokenError:
        challenge = 'Bearer error="invalid_token"'
        raise RefusalError(401, "The access token is not valid.", challenge) from None
    except StaleError:
        title = "It cannot be known now whether the token was revoked. Try again."
        raise RefusalError(503, title) from None
    missing = sorted(set(scopes) - claims.scopes)
    if missing:
        challenge = f'Bearer error="insufficient_scope", scope="{" ".join(missing)}"'
        raise RefusalError(403, "The access token lacks a scope.", challenge)
    return claims


class RequireToken:
    """Lets requests with an active access token pass, with its `claims` in the state."""

    def __init__(self, app: Application, tokens: Callable[[], Checks], scopes: Iterable[str] = ()) -> None:
        """`tokens` is asked for each request, because an application opens them when it starts."""
        self._app = app
        self._tokens = tokens
        self._scopes = frozenset(scopes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            claims = await claims_of(scope["headers"], self._tokens(), self._scopes)
        except RefusalError as refusal:
            await answer(refusal, scope, send)
            return
        scope.setdefault("state", {})["claims"] = claims
        await self._app(scope, receive, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom a gateway let in: a person with a session, or a machine client."""

    account_id: str | None
    session_id: str | None
    client_id: str | None
    scopes: frozenset[str]


_ACCOUNT, _SESSION, _CLIENT, _SCOPES = (
    b"x-auth-account",
    b"x-auth-session",
    b"x-auth-client",
    b"x-auth-scopes",
)
_NAMES = frozenset({_ACCOUNT, _SESSION, _CLIENT, _SCOPES})


class GatewayIdentity:
    """For what only a gateway can reach, which asks Chancery's `/v1/forward-auth` and passes its headers on.

    Gateways drop what clients send under these names, but not all of them under their twins with an underscore, and some
    can be made to drop their own. So a twin or a repetition is refused with 400, and a missing identity with 401.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            identity = identity_of(scope["headers"])
        except RefusalError as refusal:
            await answer(refusal, scope, send)
            return
        scope.setdefault("state", {})["identity"] = identity
        await self._app(scope, receive, send)


def identity_of(headers: Headers) -> Identity:
    """RefusalError for what no gateway would send."""
    found: dict[bytes, str] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if name.replace(b"_", b"-") not in _NAMES:
            continue
        if name not in _NAMES or name in found:
            raise RefusalError(400, "The identity headers are forged.")
        found[name] = value.decode("latin-1")
    account, session, client = (found.get(name) or None for name in (_ACCOUNT, _SESSION, _CLIENT))
    if (account is None) == (client is None) or (account is None) != (session is None):
        status = 400 if account and client else 401
        raise RefusalError(status, "Nobody was let in by the gateway.")
    scopes = frozenset(found.get(_SCOPES, "").split())
    return Identity(account_id=account, session_id=session, client_id=client, scopes=scopes)


async def answer(refusal: RefusalError, scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    content = {"type": "about:blank", "title": refusal.title, "status": refusal.status}
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if refusal.challenge:
        headers.append((b"www-authenticate", refusal.challenge.encode()))
    if refusal.status == 503:  # noqa: PLR2004  # HTTP's
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})
