"""Many tokens in one question, for clients whose access token has the scope `chancery.introspect`."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from query_api.schemas import Introspection
from query_api.services import BEARER, UseServices
from runtime.serving.answers import json_answer
from runtime.serving.app import StrictRoute

MOST_TOKENS = 1000
MOST_BYTES = 2 * 1024 * 1024
PATH = "/v1/tokens/validate"
PROJECTORS = ("sessions", "revoked_tokens")
router = APIRouter(tags=["tokens"], route_class=StrictRoute)


class Validate(BaseModel, extra="forbid"):
    tokens: Annotated[list[str], Field(max_length=MOST_TOKENS)]


class Validated(BaseModel):
    """In the order of the tokens."""

    results: list[Introspection]


@router.post(PATH, responses={200: {"model": Validated}}, response_class=Response, dependencies=[BEARER])
async def validate(request: Request, body: Validate, services: UseServices) -> Response:
    await services.callers.require_introspector(request)
    waited_for = await services.positions.wait(request, *PROJECTORS)
    shown = services.tokens.position()
    results = await services.tokens.introspect_all(body.tokens, "at-position" if waited_for else "first")
    return json_answer(200, {"results": results}, shown).response()
