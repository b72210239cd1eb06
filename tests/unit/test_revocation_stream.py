"""In which order a slow client hears of revocations and of how much it knows."""

import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from query_api.revocation_stream import follow_revocations, parse_positions
from query_api.routes.revocations import server_sent
from readmodels.revocation_feed import RevocationFeed
from runtime.redis import Valkey


def fed(*seqs: int) -> RevocationFeed:
    """A feed that is fresh, and told by the test what is new."""
    feed = RevocationFeed(
        Valkey.open("redis://127.0.0.1:1", timeout_seconds=1), partitions=1, stale=timedelta(seconds=60)
    )
    for seq in seqs:
        tell(feed, seq)
    feed._complete_at = time.monotonic()  # noqa: SLF001  # nobody is asked here
    return feed


def tell(feed: RevocationFeed, seq: int) -> None:
    feed._take("session", f"s{seq}", f"0:{seq}", 2**60)  # noqa: SLF001  # as above
    feed.seqs = (seq,)


def events_of(
    feed: RevocationFeed, last_event_id: str | None, may_go_on: Callable[[], bool]
) -> AsyncIterator[bytes]:
    heard = parse_positions(last_event_id or "", 1)
    return server_sent(follow_revocations(feed, heard, may_go_on))


async def lines(events: AsyncIterator[bytes], count: int) -> list[tuple[str, str]]:
    """Kind and id of so many events. What follows them is not asked for yet."""
    found = []
    for _ in range(count):
        event = b""
        while not event.endswith(b"\n\n"):
            event += await anext(events)
        kind, position, _ = event.decode().split("\n", 2)
        found.append((kind.removeprefix("event: "), position.removeprefix("id: ")))
    return found


async def test_what_came_while_a_client_was_slow_is_told_before_a_heartbeat_vouches_for_it() -> None:
    feed = fed(6)
    events = events_of(feed, None, lambda: True)
    assert await lines(events, 1) == [("snapshot", "0:6")]
    tell(feed, 7)
    assert await lines(events, 2) == [("revoked", "0:6"), ("heartbeat", "0:7")]


async def test_a_heartbeat_vouches_for_no_more_than_was_told_before_it() -> None:
    feed = fed(6)
    events = events_of(feed, "0:6", lambda: True)
    assert await lines(events, 1) == [("heartbeat", "0:6")]
    tell(feed, 7)
    tell(feed, 8)
    assert await lines(events, 1) == [("revoked", "0:6")]
    tell(feed, 9)
    assert await lines(events, 2) == [("revoked", "0:6"), ("heartbeat", "0:8")]
    assert await lines(events, 2) == [("revoked", "0:8"), ("heartbeat", "0:9")]


async def test_nothing_vouches_for_a_feed_that_is_stale() -> None:
    feed = fed(6)
    goes_on = iter([True, True, False])
    events = events_of(feed, "0:5", lambda: next(goes_on))
    feed._complete_at = float("-inf")  # noqa: SLF001  # as above
    assert [event async for event in events] == [
        b'event: revoked\nid: 0:5\ndata: {"session_id":"s6","position":"0:6","until_ms":1152921504606846976}\n\n'
    ]
