"""The feed of revocations, for whoever checks tokens without asking."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from query_api.revocation_stream import revocation_events
from query_api.services import BEARER, UseServices
from query_api.tokens import CannotKnowError
from runtime.serving.answers import problem

PROJECTORS = ("sessions", "revoked_tokens", "clients")
MOST_STREAMS = 500
"""Of one process."""
router = APIRouter(tags=["tokens"])


@router.get("/v1/revocations/stream", response_class=Response, dependencies=[BEARER])
async def stream(
    request: Request, services: UseServices, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    claims = await services.callers.require_introspector(request)
    await services.positions.wait(request, *PROJECTORS)
    if not services.revocations.is_fresh:
        raise CannotKnowError
    if services.revocations.listeners >= MOST_STREAMS:
        headers = {"retry-after": "5"}
        return problem(
            503, "overloaded", "Too many streams are open here. Try again.", headers=headers
        ).response()

    def may_go_on() -> bool:
        is_over = services.leaving.is_set() or services.clock().timestamp() >= claims.expires_at
        return not is_over and not services.tokens.is_known_as_revoked(claims)

    events = revocation_events(services.revocations, last_event_id, may_go_on)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
