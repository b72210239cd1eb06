"""What the routes use: built once in `app.py`, handed to every request."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from query_api.audit_pages import AuditPages
from query_api.callers import Callers, Person
from query_api.key_set import KeySet
from query_api.positions import Positions
from query_api.tokens import TokenChecks
from readmodels.checkpoints import is_fresh
from readmodels.revocation_feed import RevocationFeed
from runtime.access_token import Claims
from runtime.clock import Clock
from runtime.postgres import Postgres
from runtime.serving.answers import AnswerError, failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    issuer: str
    command: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    postgres: Postgres
    positions: Positions
    tokens: TokenChecks
    callers: Callers
    key_set: KeySet
    audit: AuditPages
    partitions: int
    lag_limit: timedelta
    clock: Clock
    urls: Urls
    pepper: bytes = field(repr=False)
    """Names e-mail addresses in the log, and so in `identifiers`."""
    revocations: RevocationFeed
    leaving: asyncio.Event
    """Set when this process is told to stop."""

    def may_follow(self, claims: Claims) -> bool:
        """Whether an answer without an end goes on for the holder of the token that says this."""
        is_over = self.leaving.is_set() or self.clock().timestamp() >= claims.expires_at
        return not is_over and not self.tokens.is_known_as_revoked(claims)


async def _services(request: Request) -> Services:
    """A coroutine, as all dependencies here, because FastAPI hands plain functions to a thread."""
    services: Services = request.app.state.services
    return services


async def _person(request: Request, services: Annotated[Services, Depends(_services)]) -> Person:
    return await services.callers.require_person(request)


async def _admin(request: Request, services: Annotated[Services, Depends(_services)]) -> None:
    await services.callers.require_admin(request)


async def _present_only(request: Request) -> None:
    """An answer about now would be a wrong one to a question about the past."""
    if "as_of" in request.query_params:
        title = "`as_of` is not answered yet."
        raise AnswerError(failure(request.url.path, 404, "as-of-unavailable", title))


async def require_complete(request: Request, services: Services, *projectors: str) -> None:
    """Return if these read models are whole, so that what they lack does not exist; 503 otherwise."""
    is_whole = await is_fresh(
        services.postgres, projectors, partitions=services.partitions, stale=services.lag_limit
    )
    if not is_whole:
        title = "The read model is not complete now, so it cannot say that there is none."
        raise AnswerError(failure(request.url.path, 503, "projection-behind", title, {"retry-after": "1"}))


UseServices = Annotated[Services, Depends(_services)]
UsePerson = Annotated[Person, Depends(_person)]
ADMIN = Depends(_admin)
"""Lets nobody in but clients that may administrate."""
PRESENT_ONLY = Depends(_present_only)
BEARER = Depends(HTTPBearer(auto_error=False))
"""Shows in the OpenAPI document that a route wants an access token."""
