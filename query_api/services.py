"""What the routes use: built once in `app.py`, handed to every request."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from query_api.callers import Callers, Person
from query_api.positions import Positions
from query_api.tokens import KeySet, TokenChecks
from runtime.clock import Clock
from runtime.postgres import Postgres


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
    clock: Clock
    urls: Urls


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _person(request: Request, services: Annotated[Services, Depends(_services)]) -> Person:
    return await services.callers.require_person(request)


UseServices = Annotated[Services, Depends(_services)]
UsePerson = Annotated[Person, Depends(_person)]
BEARER = Depends(HTTPBearer(auto_error=False))
"""Shows in the OpenAPI document that a route wants an access token."""
