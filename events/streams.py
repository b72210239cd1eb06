"""Stream names, and the slot that decides which partition a stream lives in.

A stream is `<category>-<id>`. Ids are lower-case base32, and their first two characters are ten bits: the
slot. An account's id begins with the slot of the address that it signed up with, so that claiming the
address and registering the account are one commit.
"""

import base64
import secrets

SLOTS = 1024
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
SIGNING_KEYS = "signing-keys"
CATEGORIES = frozenset({"account", "identifier", "errands", "client", SIGNING_KEYS, "request", "answer"})
"""What streams there are. In another one there can be no fact."""
_ID_BYTES = 16
_SLOT_BITS = 10
_FREE_BITS = _ID_BYTES * 8 - _SLOT_BITS


def stream(category: str, stream_id: str) -> str:
    return f"{category}-{stream_id}"


def account_stream(account_id: str) -> str:
    return stream("account", account_id)


def client_stream(client_id: str) -> str:
    return stream("client", client_id)


def identifier_stream(digest: bytes) -> str:
    """`digest` is the HMAC-SHA-256 of the canonical address under the pepper."""
    return stream("identifier", base32(digest))


def errands_stream(partition: int) -> str:
    """The one list of errands of a partition. Its slot is the partition's own number, which lies in it."""
    return stream("errands", slot_prefix(partition) + "all")


def category_of(name: str) -> str:
    return SIGNING_KEYS if name == SIGNING_KEYS else name.partition("-")[0]


def id_of(name: str) -> str:
    """What stands after the category: an account's id, a client's."""
    return name.partition("-")[2]


def slot_of(name: str) -> int:
    """The slot, 0 to 1023, of a stream; ValueError if the name is not one."""
    if name == SIGNING_KEYS:
        return 0
    slot = _SLOT_BY_PREFIX.get(name.partition("-")[2][:2])
    if slot is None:
        raise ValueError("not a stream name")
    return slot


def slot_prefix(slot: int) -> str:
    """The two characters that an id in this slot begins with."""
    return ALPHABET[slot // len(ALPHABET)] + ALPHABET[slot % len(ALPHABET)]


_SLOT_BY_PREFIX = {slot_prefix(slot): slot for slot in range(SLOTS)}


def partition_of(name: str, partitions: int) -> int:
    return slot_of(name) % partitions


def new_id(slot: int | None = None) -> str:
    """A fresh random id of 26 characters, in the given slot or in a random one."""
    number = secrets.randbits(_ID_BYTES * 8)
    if slot is not None:
        number = (slot << _FREE_BITS) | (number & ((1 << _FREE_BITS) - 1))
    return base32(number.to_bytes(_ID_BYTES, "big"))


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id made here; nothing else may become part of a stream name."""
    return len(text) == 26 and all(character in ALPHABET for character in text)  # noqa: PLR2004  # 128 bits


def base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=").lower()
