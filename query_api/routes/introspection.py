"""Token introspection (RFC 7662), for clients with the scope `chancery.introspect`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from query_api.callers import INTROSPECT_SCOPE
from query_api.schemas import Introspection
from query_api.services import UseServices
from runtime.serving.answers import json_answer, oauth_error
from runtime.serving.oauth import form_body, read_form

PATH = "/oauth/introspect"
PROJECTORS = ("sessions", "revoked_tokens", "clients")
router = APIRouter(tags=["tokens"])


@router.post(
    PATH,
    responses={200: {"model": Introspection}},
    openapi_extra=form_body("token", optional=("token_type_hint", "client_id", "client_secret")),
    response_class=Response,
)
async def introspect(
    request: Request, form: Annotated[dict[str, str], Depends(read_form)], services: UseServices
) -> Response:
    await services.callers.require_client(request, form, INTROSPECT_SCOPE)
    if "token" not in form:
        return oauth_error(400, "invalid_request", "token is missing.").response()
    waited_for = await services.positions.wait(request, *PROJECTORS)
    content = await services.tokens.introspect(form["token"], "at-position" if waited_for else "first")
    return json_answer(200, content).response()
