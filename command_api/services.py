"""What the routes use: built once in `app.py`, handed to every request."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from command_api.admin_accounts import AdminAccounts
from command_api.callers import Admin, Callers, Person
from command_api.calls import Call, read_call
from command_api.clients import Clients
from command_api.close_account import Closing
from command_api.email_change import EmailChanges
from command_api.grants import Grants
from command_api.passkey_sign_in import PasskeySignIn
from command_api.passkeys import OwnPasskeys
from command_api.password_reset import PasswordResets
from command_api.profile import Profile
from command_api.rate_limits import ByAccount, ByAddress, RateLimits
from command_api.second_factors import SecondFactors
from command_api.second_step import SecondStep
from command_api.sign_in import SignIn
from command_api.sign_out import SignOut
from command_api.sign_up import SignUp
from command_api.signing_keys import KeyRotation
from command_api.system import SystemCommands
from command_api.system_caller import SystemCallers


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    callers: Callers
    rate_limits: RateLimits
    sign_up: SignUp
    sign_in: SignIn
    second_step: SecondStep
    second_factors: SecondFactors
    own_passkeys: OwnPasskeys
    passkey_sign_in: PasskeySignIn
    sign_out: SignOut
    grants: Grants
    clients: Clients
    key_rotation: KeyRotation
    profile: Profile
    password_resets: PasswordResets
    email_changes: EmailChanges
    closing: Closing
    admin_accounts: AdminAccounts
    system_callers: SystemCallers
    system: SystemCommands


async def services_of(request: Request) -> Services:
    """A coroutine, as all dependencies here, because FastAPI hands plain functions to a thread."""
    services: Services = request.app.state.services
    return services


async def _person(request: Request, services: Annotated[Services, Depends(services_of)]) -> Person:
    return services.callers.person(request)


async def _admin(request: Request, services: Annotated[Services, Depends(services_of)]) -> Admin:
    return await services.callers.admin(request)


async def _worker_call(
    call: Annotated[Call, Depends(read_call)], services: Annotated[Services, Depends(services_of)]
) -> Call:
    return services.system_callers.worker_call(call)


UseServices = Annotated[Services, Depends(services_of)]
UseCall = Annotated[Call, Depends(read_call)]
UsePerson = Annotated[Person, Depends(_person)]
UseAdmin = Annotated[Admin, Depends(_admin)]
UseWorkerCall = Annotated[Call, Depends(_worker_call)]
BEARER = Depends(HTTPBearer(auto_error=False))
"""Shows in the OpenAPI document that a route wants an access token."""


def counted(name: ByAddress) -> Any:
    """For the dependencies of a route whose calls are counted by the prefix of the caller's address."""

    async def count(request: Request, services: UseServices) -> None:
        await services.rate_limits.count_address(request, name)

    return Depends(count)


def counted_by_account(name: ByAccount) -> Any:
    """For the dependencies of a route whose calls are counted by the signed-in account."""

    async def count(request: Request, person: UsePerson, services: UseServices) -> None:
        await services.rate_limits.count_account(request, name, person.account_id)

    return Depends(count)
