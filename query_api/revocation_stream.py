"""The feed of revocations as server-sent events (WHATWG HTML, section 9.2), for edges that check tokens themselves.

A `snapshot` of all live revocations, then each new one as `revoked`; a `heartbeat` says that there was nothing else,
and none comes while that is not known. Every event's id is what the feed knows at least, by partition, so that a client
which was away goes on from there without a snapshot.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from readmodels.revocation_feed import Revocation, RevocationFeed

Seqs = tuple[int, ...]
"""By partition."""

HEARTBEAT_SECONDS = 0.5
_PIECE = 500
_POSITION = re.compile(r"(\d{1,4}):(-1|\d{1,15})")
_NAMES = {"session": "session_id", "jti": "jti", "client": "client_id"}


async def revocation_events(
    feed: RevocationFeed, last_event_id: str | None, may_go_on: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Until it may not go on, or the client is too slow. It comes again, and says what it saw last."""
    with feed.listening() as listener:
        sent, known = feed.seqs, list(feed)
        seen = parse_positions(last_event_id or "", len(sent))
        has_seen_more = seen is not None and any(one > ours for one, ours in zip(seen, sent, strict=True))
        begins = _snapshot(known, sent) if seen is None or has_seen_more else _rest(known, seen)
        async for piece in begins:
            yield piece
        while may_go_on() and not listener.is_lost:
            # One moment: what the heartbeat vouches for is in `news`, and is sent before it.
            news, now_known, beat = listener.take(), feed.seqs, _heartbeat(feed)
            for revocation in news:
                yield _event("revoked", sent, _json(revocation))
            sent = now_known
            if beat is not None:
                yield beat
            await listener.wait(HEARTBEAT_SECONDS)


async def _snapshot(known: Sequence[Revocation], position: Seqs) -> AsyncIterator[bytes]:
    yield f'event: snapshot\nid: {render_positions(position)}\ndata: {{"revocations":['.encode()
    for first in range(0, len(known), _PIECE):
        some = ",".join(_json(revocation) for revocation in known[first : first + _PIECE])
        yield (("," if first else "") + some).encode()
        await asyncio.sleep(0)  # others have their turn
    yield b"]}\n\n"


async def _rest(known: Sequence[Revocation], seen: Seqs) -> AsyncIterator[bytes]:
    """What a client that saw so much lacks."""
    for revocation in known:
        partition, seq = revocation.place
        if seq > seen[partition]:
            yield _event("revoked", seen, _json(revocation))


def _heartbeat(feed: RevocationFeed) -> bytes | None:
    """None while the feed is stale. By `sent_ms`, on a clock of this process alone, a client tells how late it comes."""
    if not feed.is_fresh:
        return None
    age_ms, sent_ms = round(feed.age_seconds() * 1000), round(time.monotonic() * 1000)
    return _event("heartbeat", feed.seqs, json.dumps({"age_ms": max(0, age_ms), "sent_ms": sent_ms}))


def _event(kind: str, sent: Seqs, data: str) -> bytes:
    """`sent` is what was sent before, and so is what a client may say that it saw."""
    return f"event: {kind}\nid: {render_positions(sent)}\ndata: {data}\n\n".encode()


def _json(revocation: Revocation) -> str:
    members: dict[str, Any] = {
        _NAMES[revocation.kind]: revocation.id,
        "position": revocation.position,
        "until_ms": revocation.until_ms,
    }
    return json.dumps(members, separators=(",", ":"))


def render_positions(seqs: Seqs) -> str:
    return ",".join(f"{partition}:{seq}" for partition, seq in enumerate(seqs))


def parse_positions(text: str, partitions: int) -> Seqs | None:
    """None for anything but one position of each partition."""
    matches = [_POSITION.fullmatch(part) for part in text.split(",")]
    found = {int(match[1]): int(match[2]) for match in matches if match is not None}
    if len(matches) != partitions or set(found) != set(range(partitions)):
        return None
    return tuple(found[partition] for partition in range(partitions))
