"""Passkeys: the signed-in person's own, and sign-in with one (WebAuthn Level 3)."""

from fastapi import APIRouter, Response

from command_api.passkey_schemas import (
    CreationOptions,
    NewPasskey,
    NewPasskeyBody,
    PasskeyBody,
    RequestOptions,
)
from command_api.routes.factors import ADDING
from command_api.schemas import TokenResponse
from command_api.services import BEARER, UseCall, UsePerson, UseServices, counted
from runtime.serving.app import StrictRoute
from runtime.serving.problems import problems

router = APIRouter(tags=["passkeys"], route_class=StrictRoute)


@router.post(
    "/v1/me/passkeys/options",
    status_code=200,
    responses={200: {"model": CreationOptions}, **problems(400, 401, 409, 415, 422, 429, 503)},
    dependencies=[BEARER, ADDING],
    response_class=Response,
)
async def creation_options(call: UseCall, person: UsePerson, services: UseServices) -> Response:
    """For `PublicKeyCredential.parseCreationOptionsFromJSON()`."""
    return (await services.own_passkeys.options(call, person)).response()


@router.post(
    "/v1/me/passkeys",
    status_code=201,
    responses={201: {"model": NewPasskey}, **problems(400, 401, 409, 415, 422, 429, 503)},
    dependencies=[BEARER, ADDING],
    response_class=Response,
)
async def register_passkey(
    body: NewPasskeyBody, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    """Ends all other sessions if this is the first factor."""
    return (await services.own_passkeys.register(call, person, body)).response()


@router.delete(
    "/v1/me/passkeys/{passkey_id}",
    status_code=204,
    responses=problems(400, 401, 404, 409, 503),
    dependencies=[BEARER],
    response_class=Response,
)
async def remove_passkey(
    passkey_id: str, call: UseCall, person: UsePerson, services: UseServices
) -> Response:
    """Ends all other sessions. Recovery codes go with the last factor."""
    return (await services.own_passkeys.remove(call, person, passkey_id)).response()


@router.post(
    "/v1/passkey-sessions/options",
    status_code=200,
    responses={200: {"model": RequestOptions}, **problems(400, 429, 503)},
    dependencies=[counted("address-sign-ins")],
    response_class=Response,
)
async def request_options(call: UseCall, services: UseServices) -> Response:
    """For `PublicKeyCredential.parseRequestOptionsFromJSON()`."""
    return (await services.passkey_sign_in.options(call)).response()


@router.post(
    "/v1/passkey-sessions",
    status_code=201,
    responses={201: {"model": TokenResponse}, **problems(400, 401, 415, 422, 429, 503)},
    dependencies=[counted("address-sign-ins")],
    response_class=Response,
)
async def sign_in_with_passkey(body: PasskeyBody, call: UseCall, services: UseServices) -> Response:
    """A passkey is both factors, so nothing further is asked for."""
    return (await services.passkey_sign_in.sign_in(call, body)).response()
