"""The feed of revocations, for whoever checks tokens without asking."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from query_api.revocation_stream import revocation_events
from query_api.services import BEARER, UseServices
from query_api.tokens import CannotKnowError
from runtime.serving.answers import problem

MOST_STREAMS = 500
"""Of one process."""
router = APIRouter(tags=["tokens"])


@router.get("/v1/revocations/stream", response_class=Response, dependencies=[BEARER])
async def stream(
    request: Request, services: UseServices, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    await services.callers.require_introspector(request)
    if not services.revocations.is_fresh:
        raise CannotKnowError
    if services.revocations.listeners >= MOST_STREAMS:
        headers = {"retry-after": "5"}
        return problem(
            503, "overloaded", "Too many streams are open here. Try again.", headers=headers
        ).response()
    events = revocation_events(services.revocations, last_event_id, services.leaving)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
