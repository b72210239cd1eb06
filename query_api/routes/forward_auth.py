"""The question that gateways ask: nginx `auth_request`, Traefik ForwardAuth, Caddy `forward_auth`.

Only the token decides. Method, sub-path and forwarded headers of the original request are ignored.
"""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from query_api.callers import BEARER_CHALLENGE
from query_api.checked_tokens import identity
from query_api.services import UseServices
from query_api.tokens import CannotKnowError, TokenChecks
from runtime.serving.answers import HttpAnswer, empty_answer, problem
from runtime.serving.oauth import bearer_token

DEADLINE_SECONDS = 0.5
PATH = "/v1/forward-auth"
HEADERS = ("x-auth-account", "x-auth-session", "x-auth-client", "x-auth-scopes")
"""All that an answer may have. A gateway takes those from a request that its answer does not set."""
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
router = APIRouter(tags=["tokens"])


@router.api_route(PATH, methods=_METHODS, response_class=Response, include_in_schema=False)
@router.api_route(PATH + "/{path:path}", methods=_METHODS, response_class=Response, include_in_schema=False)
@router.get(PATH, response_class=Response)
async def forward_auth(request: Request, services: UseServices) -> Response:
    """200 with the identity in headers, 401 without, 503 when nobody can tell in time."""
    return (await decide(services.tokens, request.headers.getlist("authorization"))).response()


async def decide(tokens: TokenChecks, authorization: Sequence[str]) -> HttpAnswer:
    """The answer to who came with these Authorization headers; CannotKnowError when nobody can tell in time."""
    token = bearer_token(authorization)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            claims = None if token is None else await tokens.access_claims(token)
    except TimeoutError:
        raise CannotKnowError from None
    if token is None:
        title = "Send one access token as `Authorization: Bearer`."
        return problem(401, "missing-token", title, headers={"www-authenticate": "Bearer"})
    if claims is None:
        return problem(401, "invalid-token", "The access token is not valid.", headers=BEARER_CHALLENGE)
    return empty_answer(200, identity(claims))
