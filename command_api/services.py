"""What the routes use: built once in `app.py`, handed to every request."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from command_api.callers import Callers, Person
from command_api.calls import Call, read_call
from command_api.grants import Grants
from command_api.profile import Profile
from command_api.sign_in import SignIn
from command_api.sign_out import SignOut
from command_api.sign_up import SignUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    callers: Callers
    sign_up: SignUp
    sign_in: SignIn
    sign_out: SignOut
    grants: Grants
    profile: Profile


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _person(request: Request, services: Annotated[Services, Depends(_services)]) -> Person:
    return services.callers.person(request)


UseServices = Annotated[Services, Depends(_services)]
UseCall = Annotated[Call, Depends(read_call)]
UsePerson = Annotated[Person, Depends(_person)]
BEARER = Depends(HTTPBearer(auto_error=False))
"""Shows in the OpenAPI document that a route wants an access token."""
