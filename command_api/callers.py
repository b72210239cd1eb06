"""Who is calling: a person by bearer token, or a machine client by its secret."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A bearer whose token is good; whether its session still lives is decided on the log."""

    account_id: str
    session_id: str


class Callers:
    def __init__(self, writer: Writer, tokens: Tokens, clock: Clock) -> None:
        self._writer = writer
        self._tokens = tokens
        self._clock = clock

    def person(self, request: Request) -> Person:
        """The person whose access token came with the request; 401 otherwise."""
        token = bearer_token(request)
        if token is None:
            title = "Send one access token as `Authorization: Bearer`."
            raise AnswerError(problem(401, "missing-token", title, headers={"www-authenticate": "Bearer"}))
        claims = self.claims(token)
        if claims is None or claims.session_id is None or self._tokens.policy.audience not in claims.audience:
            raise AnswerError(
                problem(401, "invalid-token", "The access token is not valid.", headers=BEARER_CHALLENGE)
            )
        return Person(account_id=claims.subject, session_id=claims.session_id)

    def claims(self, token: str) -> Claims | None:
        """What an access token says that was signed here and is not expired."""
        return verify_access_token(
            token, self._tokens.verification_keys(), issuer=self._tokens.policy.issuer, at=self._clock()
        )

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


def acting_as(call: Call, person: Person) -> Call:
    """The call with its caller named, in the commit and in the scope of its Idempotency-Key."""
    return replace(call, actor=Actor(kind="account", id=person.account_id))


def _proves(client: Client, credentials: ClientCredentials) -> bool:
    """Whether the secret is the client's. The same work for a client that does not exist."""
    digest = base64url(hashlib.sha256(credentials.secret.encode()).digest())
    stored = client.secret_digest if isinstance(client, Registered) else "unknown"
    return hmac.compare_digest(digest, stored)


def read_client_credentials(request: Request, form: Mapping[str, str]) -> ClientCredentials | None:
    """The credentials that came with the request, None if none came."""
    try:
        return client_credentials(request, form)
    except InvalidClientAuthenticationError:
        raise InvalidClient from None
