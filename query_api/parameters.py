"""Query parameters as values: parsed once, refused with a pointer, and without repeating what was sent."""

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator

DEFAULT_LIMIT = 50
MOST_LIMIT = 200
_ID = r"^[a-z2-7]{26}$"
_TYPE = r"^[a-z_]{1,40}\.[a-z_]{1,40}$"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?\d*([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def is_id(text: str) -> bool:
    """Whether `text` has the form of an account's id; no other is looked for."""
    return re.fullmatch(_ID, text) is not None


def parse_moment(text: str) -> datetime:
    """A time of RFC 3339 in UTC; digits beyond microseconds are dropped."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("must be a time of RFC 3339, e.g. 2001-02-03T04:05:06Z")
    offset = "+00:00" if match[2] in "Zz" else match[2]
    try:
        return datetime.fromisoformat(text[:19].upper() + (match[1] or "") + offset).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is no time of the calendar") from None


def _moment(value: object) -> object:
    return parse_moment(value) if isinstance(value, str) else value


Limit = Annotated[int, Query(ge=1, le=MOST_LIMIT, description="How many items a page has at most.")]
CursorText = Annotated[
    str | None, Query(alias="cursor", description="`next` of the page before; keeps that walk's filters.")
]
AccountFilter = Annotated[str | None, Query(alias="account", pattern=_ID)]
TypeFilter = Annotated[str | None, Query(alias="type", pattern=_TYPE, examples=["sign_in.failed"])]
Since = Annotated[
    Annotated[datetime, BeforeValidator(_moment)] | None, Query(alias="from", description="Included.")
]
Until = Annotated[
    Annotated[datetime, BeforeValidator(_moment)] | None, Query(alias="to", description="Not included.")
]
