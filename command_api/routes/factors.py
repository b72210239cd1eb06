"""The signed-in person's second factors: an authenticator app, and recovery codes."""

from fastapi import APIRouter, Response

from command_api.schemas import ConfirmTotpBody, NewTotp, PasswordBody, RecoveryCodes
from command_api.services import BEARER, UseCall, UsePerson, UseServices, counted_by_account
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

ADDING = counted_by_account("account-factors")
router = APIRouter(tags=["factors"], route_class=StrictRoute, dependencies=[BEARER])


@router.post(
    "/v1/me/factors/totp",
    status_code=201,
    responses={201: {"model": NewTotp}, **problems(400, 401, 409, 415, 422, 429, 503)},
    dependencies=[ADDING],
    response_class=Response,
)
async def start_totp(call: UseCall, person: UsePerson, services: UseServices) -> Response:
    """A new secret, shown only here. It counts once its first code was presented."""
    return (await services.second_factors.start_totp(call, person)).response()


@router.post(
    "/v1/me/factors/totp/confirm",
    status_code=200,
    responses={200: {"model": RecoveryCodes}, **problems(400, 401, 415, 422, 429, 503)},
    dependencies=[ADDING],
    response_class=Response,
)
async def confirm_totp(
    body: ConfirmTotpBody, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    """Ends all other sessions if this is the first factor. The recovery codes are shown only here."""
    return (await services.second_factors.confirm_totp(call, person, body.code)).response()


@router.delete(
    "/v1/me/factors/totp",
    status_code=204,
    responses=problems(400, 401, 403, 409, 415, 422, 503),
    response_class=Response,
)
async def remove_totp(
    body: PasswordBody, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    """Ends all other sessions. Recovery codes go with the last factor."""
    return (await services.second_factors.remove_totp(call, person, body.password)).response()


@router.post(
    "/v1/me/recovery-codes",
    status_code=200,
    responses={200: {"model": RecoveryCodes}, **problems(400, 401, 403, 409, 415, 422, 503)},
    response_class=Response,
)
async def issue_recovery_codes(
    body: PasswordBody, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    """Ten new codes; those before are dead."""
    return (await services.second_factors.issue_recovery_codes(call, person, body.password)).response()
