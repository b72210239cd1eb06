"""CBOR as authenticators write it (CTAP2 canonical form): four levels, definite lengths, shortest numbers, no tags.

It is looked at before any parser gets it, because a tag can make a small text stand for a huge or a cyclic value, and a
value that has two spellings has another length once it is written again. Keys that occur twice are the parser's to refuse.
"""

MAX_DEPTH = 4
"""CTAP 2.1 section 8."""
_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}
"""Bytes of the number that follows, by the low five bits of an item's first byte."""
_SMALLEST = {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}
"""What a number must reach to need so many bytes."""
_NUMBERS, _STRINGS, _ARRAY, _MAP = (0, 1), (2, 3), 4, 5
_SIMPLE, _FALSE_TRUE_NULL = 7, (20, 21, 22)


def end_of_item(raw: bytes, start: int = 0, depth_left: int = MAX_DEPTH) -> int | None:
    """Where the item that begins at `start` ends; None if it is not of this form, or not all there."""
    head = _head(raw, start)
    if head is None:
        return None
    major, number, at = head
    if major in _NUMBERS:
        return at
    if major in _STRINGS:
        return at + number if number <= len(raw) - at else None
    if major in (_ARRAY, _MAP):
        return _end_of_children(raw, at, number * (2 if major == _MAP else 1), depth_left)
    return at if major == _SIMPLE and number in _FALSE_TRUE_NULL else None


def _end_of_children(raw: bytes, at: int, count: int, depth_left: int) -> int | None:
    """Each child has at least one byte, so that a count which promises much costs no more than there is."""
    if depth_left == 0:
        return None
    for _ in range(count):
        end = end_of_item(raw, at, depth_left - 1)
        if end is None:
            return None
        at = end
    return at


def _head(raw: bytes, start: int) -> tuple[int, int, int] | None:
    """Major type, number, and where what follows begins."""
    if start >= len(raw):
        return None
    major, low, at = raw[start] >> 5, raw[start] & 31, start + 1
    if low < min(_LENGTHS):
        return major, low, at
    length = _LENGTHS.get(low)
    if length is None or length > len(raw) - at:
        return None
    number = int.from_bytes(raw[at : at + length], "big")
    return (major, number, at + length) if number >= _SMALLEST[length] else None
