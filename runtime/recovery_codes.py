"""Recovery codes: never stored, each derived again from the set it belongs to and its number there."""

import hmac
from collections.abc import Iterable

from runtime.encoding import base32
from runtime.keys import keyed_digest

_CHARACTERS = 12
"""60 bits, in three groups."""
_GROUP = 4


def recovery_code(key: bytes, set_id: str, number: int) -> str:
    """Such as `k4mz-7q2x-v3ta`."""
    return _grouped(_plain(key, set_id, number))


def matching_number(key: bytes, set_id: str, left: Iterable[int], code: str) -> int | None:
    """Which of the codes that are left it is, however it was spelt; the same work whatever the answer."""
    given = "".join(code.split()).replace("-", "").lower().encode()
    matching = [number for number in left if hmac.compare_digest(_plain(key, set_id, number).encode(), given)]
    return matching[0] if matching else None


def _plain(key: bytes, set_id: str, number: int) -> str:
    return base32(keyed_digest(key, set_id.encode(), number.to_bytes(2, "big")))[:_CHARACTERS]


def _grouped(plain: str) -> str:
    return "-".join(plain[start : start + _GROUP] for start in range(0, len(plain), _GROUP))
