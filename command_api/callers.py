"""Who is calling: a person by bearer token, or a machine client by its secret."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from fastapi import Request

from command_api.answers import BEARER_CHALLENGE
from command_api.calls import Call
from command_api.tokens import Tokens
from domain.client import Client, Registered
from domain.refusals import InvalidClient
from events.streams import client_stream, is_id
from eventstore.commit import Actor
from eventstore.writer import Draft, Origin, Writer
from runtime.access_token import Claims, verify_access_token
from runtime.clock import Clock
from runtime.encoding import base64url
from runtime.serving.answers import AnswerError, problem
from runtime.serving.oauth import (
    ClientCredentials,
    InvalidClientAuthenticationError,
    bearer_token,
    client_credentials,
)

PUBLIC_CLIENT = "chancery"
"""People's sessions belong to this client. It has no secret."""
ADMIN_SCOPE = "chancery.admin"
_SCOPE_CHALLENGE = {"www-authenticate": f'Bearer error="insufficient_scope", scope="{ADMIN_SCOPE}"'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A bearer whose token is good; whether its session still lives is decided on the log."""

    account_id: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """A machine client whose token has the scope `chancery.admin`, and who was registered a moment ago."""

    client_id: str


class Callers:
    def __init__(self, writer: Writer, tokens: Tokens, clock: Clock) -> None:
        self._writer = writer
        self._tokens = tokens
        self._clock = clock

    def person(self, request: Request) -> Person:
        """The person whose access token came with the request; 401 otherwise."""
        claims = self._bearer_claims(request)
        if claims.session_id is None:
            raise _invalid_token()
        return Person(account_id=claims.subject, session_id=claims.session_id)

    async def admin(self, request: Request) -> Admin:
        """The client that may administrate, by the log's newest state; 401 or 403 otherwise."""
        claims = self._bearer_claims(request)
        if claims.session_id is not None or ADMIN_SCOPE not in claims.scopes:
            title = f"The access token lacks the scope {ADMIN_SCOPE}."
            raise AnswerError(problem(403, "insufficient-scope", title, headers=_SCOPE_CHALLENGE))
        stream = client_stream(claims.client_id)

        def is_good(draft: Draft) -> bool:
            client = draft.state(stream)
            return isinstance(client, Registered) and claims.token_id not in client.revoked

        origin = Origin(actor=Actor(kind="client", id=claims.client_id))
        if not (await self._writer.transact(stream, is_good, origin)).reply:
            raise _invalid_token()
        return Admin(client_id=claims.client_id)

    def claims(self, token: str) -> Claims | None:
        """What an access token says that was signed here and is not expired."""
        return verify_access_token(
            token, self._tokens.verification_keys(), issuer=self._tokens.policy.issuer, at=self._clock()
        )

    def _bearer_claims(self, request: Request) -> Claims:
        """What the request's access token says, if it is for us; 401 otherwise."""
        token = bearer_token(request.headers.getlist("authorization"))
        if token is None:
            title = "Send one access token as `Authorization: Bearer`."
            raise AnswerError(problem(401, "missing-token", title, headers={"www-authenticate": "Bearer"}))
        claims = self.claims(token)
        if claims is None or self._tokens.policy.audience not in claims.audience:
            raise _invalid_token()
        return claims

    async def require_client(self, credentials: ClientCredentials) -> None:
        """Return if the secret is the client's, by the log's newest state; InvalidClient otherwise."""
        if not is_id(credentials.client_id):
            raise InvalidClient
        stream = client_stream(credentials.client_id)

        def check(draft: Draft) -> None:
            if not _proves(draft.state(stream), credentials):
                raise InvalidClient

        origin = Origin(actor=Actor(kind="client", id=credentials.client_id))
        await self._writer.transact(stream, check, origin)


def acting_as(call: Call, caller: Person | Admin) -> Call:
    """The call with its caller named, in the commit and in the scope of its Idempotency-Key."""
    match caller:
        case Person():
            actor = Actor(kind="account", id=caller.account_id)
        case Admin():
            actor = Actor(kind="client", id=caller.client_id)
        case _:
            assert_never(caller)
    return replace(call, actor=actor)


def acting_within(call: Call, person: Person) -> Call:
    """As above, for answers that hold secrets: another session of the same person gets none of them under the key."""
    return replace(acting_as(call, person), within=person.session_id)


def _invalid_token() -> AnswerError:
    return AnswerError(
        problem(401, "invalid-token", "The access token is not valid.", headers=BEARER_CHALLENGE)
    )


def _proves(client: Client, credentials: ClientCredentials) -> bool:
    """Whether the secret is one of the client's. The same work for a client that does not exist."""
    digest = base64url(hashlib.sha256(credentials.secret.encode()).digest())
    stored = client.secret_digests if isinstance(client, Registered) else ("unknown",)
    return any(hmac.compare_digest(digest, one) for one in stored)


def read_client_credentials(request: Request, form: Mapping[str, str]) -> ClientCredentials | None:
    """The credentials that came with the request, None if none came."""
    try:
        return client_credentials(request, form)
    except InvalidClientAuthenticationError:
        raise InvalidClient from None
