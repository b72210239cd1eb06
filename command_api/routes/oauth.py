"""The token and revocation endpoints (RFC 6749, RFC 7009)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from command_api.calls import read_call
from command_api.schemas import OAuthError, TokenResponse
from command_api.services import UseCall, UseServices, counted, services_of
from runtime.serving.oauth import form_body, read_form

router = APIRouter(tags=["oauth"])
_ERRORS: dict[int | str, dict[str, Any]] = {status: {"model": OAuthError} for status in (400, 401, 429)}

Form = Annotated[dict[str, str], Depends(read_form)]


@router.post(
    "/oauth/token",
    responses={200: {"model": TokenResponse}, **_ERRORS},
    openapi_extra=form_body("grant_type", optional=("refresh_token", "scope", "client_id", "client_secret")),
    response_class=Response,
)
async def token(request: Request) -> Response:
    """Without dependencies: FastAPI's way to them costs as much as the decision, and nothing is asked as often."""
    services = await services_of(request)
    await services.rate_limits.count_address(request, "address-tokens")
    form, call = await read_form(request), await read_call(request)
    return (await services.grants.grant(request, call, form)).response()


@router.post(
    "/oauth/revoke",
    responses=_ERRORS,
    dependencies=[counted("address-tokens")],
    openapi_extra=form_body("token", optional=("token_type_hint", "client_id", "client_secret")),
    response_class=Response,
)
async def revoke(request: Request, form: Form, call: UseCall, services: UseServices) -> Response:
    return (await services.sign_out.revoke_token(request, call, form)).response()
