"""What the short way takes for a body."""

from typing import Any

import pytest

from query_api.hot_path import _arrived
from query_api.routes.validation import MOST_BYTES


def piece(size: int, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


@pytest.mark.parametrize(
    ("pieces", "size"),
    [
        ([piece(MOST_BYTES - 1, more=True), piece(1, more=False)], MOST_BYTES),
        ([piece(MOST_BYTES - 1, more=True), piece(2, more=False)], None),
        ([piece(MOST_BYTES + 1, more=True), piece(1, more=False)], None),
        ([piece(3, more=True), {"type": "http.disconnect"}], None),
    ],
)
async def test_a_body_is_whole_and_within_the_limit_or_none(
    pieces: list[dict[str, Any]], size: int | None
) -> None:
    coming = iter(pieces)

    async def receive() -> dict[str, Any]:
        return next(coming)

    pending, body = await _arrived(receive, MOST_BYTES)
    assert (None if body is None else len(body)) == size
    assert [*pending, *coming] == pieces
