"""What somebody hears who follows the revocations, in which order; the routes say in which form.

All live revocations first, then each new one; a heartbeat says that there was nothing else, and none comes while that
is not known. Whoever was away names the position that was told last, and goes on from there without a snapshot.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from readmodels.revocation_feed import Revocation, RevocationFeed

Seqs = tuple[int, ...]
"""By partition."""

HEARTBEAT_SECONDS = 0.5
MOST_STREAMS = 500
"""Of one process."""
PIECE = 500
"""So many are told before others have their turn."""
MEMBERS = {"session": "session_id", "jti": "jti", "client": "client_id"}
"""What an answer calls the id of each kind."""
_POSITION = re.compile(r"(\d{1,4}):(-1|\d{1,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """`position` is known once all of it was heard."""

    revocations: Sequence[Revocation]
    position: Seqs


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """`position` is what was told before, and so is what a client may say that it heard."""

    revocation: Revocation
    position: Seqs


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Everything up to `position` was told. By `sent_ms`, on a clock of this process alone, a client tells how late it comes."""

    position: Seqs
    age_ms: int
    sent_ms: int


async def follow_revocations(
    feed: RevocationFeed, heard: Seqs | None, may_go_on: Callable[[], bool]
) -> AsyncIterator[Snapshot | News | Heartbeat]:
    """Until it may not go on, or the client is too slow. It comes again, and says what it heard last."""
    with feed.listening() as listener:
        told, known = feed.seqs, list(feed)
        if heard is None or any(one > ours for one, ours in zip(heard, told, strict=True)):
            yield Snapshot(revocations=known, position=told)
        else:
            for number, revocation in enumerate(known, 1):
                partition, seq = revocation.place
                if seq > heard[partition]:
                    yield News(revocation=revocation, position=heard)
                if number % PIECE == 0:
                    await asyncio.sleep(0)  # others have their turn
        while may_go_on() and not listener.is_lost:
            # One moment: what the heartbeat vouches for is in `news`, and is told before it.
            news, now_known, beat = listener.take(), feed.seqs, _heartbeat(feed)
            for revocation in news:
                yield News(revocation=revocation, position=told)
            told = now_known
            if beat is not None:
                yield beat
            await listener.wait(HEARTBEAT_SECONDS)


def _heartbeat(feed: RevocationFeed) -> Heartbeat | None:
    """None while the feed is stale."""
    if not feed.is_fresh:
        return None
    age_ms = max(0, round(feed.age_seconds() * 1000))
    return Heartbeat(position=feed.seqs, age_ms=age_ms, sent_ms=round(time.monotonic() * 1000))


def render_positions(seqs: Seqs) -> str:
    return ",".join(f"{partition}:{seq}" for partition, seq in enumerate(seqs))


def parse_positions(text: str, partitions: int) -> Seqs | None:
    """None for anything but one position of each partition."""
    matches = [_POSITION.fullmatch(part) for part in text.split(",")]
    found = {int(match[1]): int(match[2]) for match in matches if match is not None}
    if len(matches) != partitions or set(found) != set(range(partitions)):
        return None
    return tuple(found[partition] for partition in range(partitions))
