"""Who asks: a resource server by its client secret, or a person by an access token."""

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fastapi import Request

from query_api.known_credentials import KnownCredentials
from query_api.tokens import CannotKnowError, TokenChecks
from readmodels.checkpoints import is_fresh
from readmodels.clients import Client, client_by_id
from runtime.access_token import Claims
from runtime.encoding import base64url
from runtime.postgres import Postgres
from runtime.serving.answers import AnswerError, failure, oauth_error
from runtime.serving.oauth import InvalidClientAuthenticationError, bearer_token, client_credentials

BEARER_CHALLENGE = {"www-authenticate": 'Bearer error="invalid_token"'}
BASIC_CHALLENGE = {"www-authenticate": 'Basic realm="chancery"'}
ADMIN_SCOPE = "chancery.admin"
INTROSPECT_SCOPE = "chancery.introspect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    account_id: str
    session_id: str
    scopes: frozenset[str]


class CallerRefusedError(Exception):
    """Who asks did not prove who it is, or may not ask."""

    def __init__(
        self, code: Literal["missing-token", "invalid-token", "insufficient-scope"], scope: str = ""
    ) -> None:
        super().__init__(
            {
                "missing-token": "Send one access token as `Authorization: Bearer`.",
                "invalid-token": "The access token is not valid.",
                "insufficient-scope": f"The access token lacks the scope {scope}.",
            }[code]
        )
        self.code = code
        self.scope = scope
        self.status = 403 if code == "insufficient-scope" else 401


class Callers:
    def __init__(self, postgres: Postgres, tokens: TokenChecks, *, partitions: int, stale: timedelta) -> None:
        self._postgres = postgres
        self._tokens = tokens
        self._partitions = partitions
        self._stale = stale
        self._known = KnownCredentials(self._client_with)

    def known_client(self, authorization: bytes) -> Client | None:
        """The client whose Authorization header this is, as far as memory can tell."""
        client = self._known.find(authorization)
        return None if client is None or self._tokens.is_client_gone(client.client_id) else client

    async def require_client(self, request: Request, form: Mapping[str, str], scope: str) -> Client:
        """The client whose secret came with the request and who has the scope; 401 or 403 otherwise."""
        client = await self._client(request, form)
        if client is None:
            raise AnswerError(
                oauth_error(401, "invalid_client", "Client authentication failed.", BASIC_CHALLENGE)
            )
        if scope not in client.scopes:
            raise AnswerError(oauth_error(403, "insufficient_scope", f"The client lacks the scope {scope}."))
        return client

    async def require_person(self, request: Request) -> Person:
        """The person whose active access token came with the request; 401 otherwise."""
        claims = await self._bearer_claims(request)
        if claims.session_id is None:
            raise _refusal(request, CallerRefusedError("invalid-token"))
        return Person(account_id=claims.subject, session_id=claims.session_id, scopes=claims.scopes)

    async def require_admin(self, request: Request) -> None:
        """Return if the request came with an active token of a client that may administrate; 401 or 403 otherwise."""
        claims = await self._bearer_claims(request)
        if not _is_client_with(ADMIN_SCOPE, claims):
            raise _refusal(request, CallerRefusedError("insufficient-scope", ADMIN_SCOPE))

    async def require_introspector(self, request: Request) -> Claims:
        """As `require_admin`, for a client that may ask about tokens; what its own token says."""
        try:
            return await self.introspector(request.headers.getlist("authorization"))
        except CallerRefusedError as refused:
            raise _refusal(request, refused) from None

    async def introspector(self, authorization: Sequence[str]) -> Claims:
        """The client that may ask about tokens whose access token these headers bear. CallerRefusedError else."""
        claims = await self._claims_of(authorization)
        if not _is_client_with(INTROSPECT_SCOPE, claims):
            raise CallerRefusedError("insufficient-scope", INTROSPECT_SCOPE)
        return claims

    def may_introspect(self, claims: Claims) -> bool:
        """Whether `require_introspector` lets in who has an active token that says this."""
        return self._is_for_us(claims) and _is_client_with(INTROSPECT_SCOPE, claims)

    async def _bearer_claims(self, request: Request) -> Claims:
        """What the request's active access token says, if it is for us; 401 otherwise."""
        try:
            return await self._claims_of(request.headers.getlist("authorization"))
        except CallerRefusedError as refused:
            raise _refusal(request, refused) from None

    async def _claims_of(self, authorization: Sequence[str]) -> Claims:
        token = bearer_token(authorization)
        if token is None:
            raise CallerRefusedError("missing-token")
        claims = await self._tokens.access_claims(token)
        if claims is None or not self._is_for_us(claims):
            raise CallerRefusedError("invalid-token")
        return claims

    def _is_for_us(self, claims: Claims) -> bool:
        return self._tokens.rules.audience in claims.audience

    async def _client(self, request: Request, form: Mapping[str, str]) -> Client | None:
        try:
            credentials = client_credentials(request, form)
        except InvalidClientAuthenticationError:
            return None
        if credentials is None or "\x00" in credentials.client_id:
            return None
        asked_at = time.monotonic()
        client = await client_by_id(self._postgres, credentials.client_id)
        if client is None and not await is_fresh(
            self._postgres, ("clients",), partitions=self._partitions, stale=self._stale
        ):
            raise CannotKnowError
        digest = base64url(hashlib.sha256(credentials.secret.encode()).digest())
        if not _has_secret(client, digest):
            return None
        authorization = request.headers.get("authorization")
        if client is not None and authorization is not None:
            self._known.keep(authorization.encode("latin-1"), client, digest, asked_at)
        return client

    async def _client_with(self, client_id: str, secret_digest: str) -> Client | None:
        client = await client_by_id(self._postgres, client_id)
        return client if _has_secret(client, secret_digest) else None


def _has_secret(client: Client | None, digest: str) -> bool:
    """In the same time whether or not there is such a client."""
    stored = client.secret_digests if client else ("unknown",)
    return any(hmac.compare_digest(digest, one) for one in stored)


def _is_client_with(scope: str, claims: Claims) -> bool:
    return claims.session_id is None and scope in claims.scopes


def _refusal(request: Request, refused: CallerRefusedError) -> AnswerError:
    error = f'Bearer error="{refused.code.replace("-", "_")}"'
    challenge = {
        "missing-token": "Bearer",
        "invalid-token": error,
        "insufficient-scope": f'{error}, scope="{refused.scope}"',
    }[refused.code]
    headers = {"www-authenticate": challenge}
    return AnswerError(failure(request.url.path, refused.status, refused.code, str(refused), headers))
