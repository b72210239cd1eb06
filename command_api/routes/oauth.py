"""The token and revocation endpoints (RFC 6749, RFC 7009)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.calls import read_call
from command_api.schemas import OAuthError, TokenResponse
from command_api.services import UseCall, UseServices, services_of
from runtime.serving.oauth import form_body, read_form

router = APIRouter(tags=["oauth"])

Form = Annotated[dict[str, str], Depends(read_form)]


@router.post(
    "/oauth/token",
    responses={200: {"model": TokenResponse}, 400: {"model": OAuthError}, 401: {"model": OAuthError}},
    openapi_extra=form_body("grant_type", optional=("refresh_token", "scope", "client_id", "client_secret")),
    response_class=Response,
)
async def token(request: Request) -> Response:
    """Without dependencies: FastAPI's way to them costs as much as the decision, and nothing is asked as often."""
    form, call = await read_form(request), await read_call(request)
    services = await services_of(request)
    return (await services.grants.grant(request, call, form)).response()


@router.post(
    "/oauth/revoke",
    responses={400: {"model": OAuthError}, 401: {"model": OAuthError}},
    openapi_extra=form_body("token", optional=("token_type_hint", "client_id", "client_secret")),
    response_class=Response,
)
async def revoke(request: Request, form: Form, call: UseCall, services: UseServices) -> Response:
    return (await services.sign_out.revoke_token(request, call, form)).response()
