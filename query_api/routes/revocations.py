"""The feed of revocations as server-sent events (WHATWG HTML, section 9.2), for whoever checks tokens without asking.

A `snapshot`, then each new one as `revoked`, and a `heartbeat` at least every second. Every event's id is a position.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from query_api.revocation_stream import (
    MEMBERS,
    MOST_STREAMS,
    PIECE,
    Heartbeat,
    News,
    Seqs,
    Snapshot,
    follow_revocations,
    parse_positions,
    render_positions,
)
from query_api.services import BEARER, UseServices
from query_api.tokens import CannotKnowError
from readmodels.revocation_feed import Revocation
from runtime.serving.answers import problem

PROJECTORS = ("sessions", "revoked_tokens", "clients")
router = APIRouter(tags=["tokens"])


@router.get("/v1/revocations/stream", response_class=Response, dependencies=[BEARER])
async def stream(
    request: Request, services: UseServices, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    claims = await services.callers.require_introspector(request)
    await services.positions.wait(request, *PROJECTORS)
    feed = services.revocations
    if not feed.is_fresh:
        raise CannotKnowError
    if feed.listeners >= MOST_STREAMS:
        headers = {"retry-after": "5"}
        return problem(
            503, "overloaded", "Too many streams are open here. Try again.", headers=headers
        ).response()
    heard = parse_positions(last_event_id or "", services.partitions)
    events = server_sent(follow_revocations(feed, heard, lambda: services.may_follow(claims)))
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def server_sent(told: AsyncIterator[Snapshot | News | Heartbeat]) -> AsyncIterator[bytes]:
    async for one in told:
        match one:
            case Snapshot():
                async for piece in _snapshot(one):
                    yield piece
            case News():
                yield _event("revoked", one.position, _json(one.revocation))
            case Heartbeat():
                data = json.dumps({"age_ms": one.age_ms, "sent_ms": one.sent_ms})
                yield _event("heartbeat", one.position, data)


async def _snapshot(snapshot: Snapshot) -> AsyncIterator[bytes]:
    known, position = snapshot.revocations, render_positions(snapshot.position)
    yield f'event: snapshot\nid: {position}\ndata: {{"revocations":['.encode()
    for first in range(0, len(known), PIECE):
        some = ",".join(_json(revocation) for revocation in known[first : first + PIECE])
        yield (("," if first else "") + some).encode()
        await asyncio.sleep(0)  # others have their turn
    yield b"]}\n\n"


def _event(kind: str, position: Seqs, data: str) -> bytes:
    return f"event: {kind}\nid: {render_positions(position)}\ndata: {data}\n\n".encode()


def _json(revocation: Revocation) -> str:
    members: dict[str, Any] = {
        MEMBERS[revocation.kind]: revocation.id,
        "position": revocation.position,
        "until_ms": revocation.until_ms,
    }
    return json.dumps(members, separators=(",", ":"))
