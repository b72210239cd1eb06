"""Sealing: AES-256-GCM of an event's personal fields under a data key, bound to stream, version and type.

Sealed form: 16 bytes key id, 12 bytes nonce, ciphertext with tag; base64url without padding. The data key
itself is wrapped with AES-256-GCM under the key-encryption key.
"""

import base64
import binascii
import os
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_KEY_ID_BYTES = 16
_NONCE_BYTES = 12


class UnsealError(Exception):
    """Sealed bytes were tampered with, moved to another place, or belong to another key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """A key of one subject. The secret half is never printed."""

    key_id: uuid.UUID
    subject: str
    cipher: AESGCM


class Box(NamedTuple):
    """Sealed bytes, taken apart."""

    key_id: uuid.UUID
    nonce: bytes
    content: bytes


def new_data_key(subject: str) -> tuple[DataKey, bytes]:
    """A fresh key and its raw bytes, which are to be wrapped and then forgotten."""
    raw = AESGCM.generate_key(bit_length=KEY_BYTES * 8)
    return DataKey(key_id=uuid.uuid4(), subject=subject, cipher=AESGCM(raw)), raw


def seal(key: DataKey, personal: dict[str, Any], place: bytes) -> str:
    return seal_bytes(key, msgspec.json.encode(personal), place)


def seal_bytes(key: DataKey, content: bytes, place: bytes) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    box = key.cipher.encrypt(nonce, content, place)
    return base64.urlsafe_b64encode(key.key_id.bytes + nonce + box).rstrip(b"=").decode()


def box_of(sealed: str) -> Box:
    """UnsealError for what has not the form of it."""
    try:
        raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) <= _KEY_ID_BYTES + _NONCE_BYTES:
        raise UnsealError("sealed fields are not in sealed form")
    content_at = _KEY_ID_BYTES + _NONCE_BYTES
    return Box(uuid.UUID(bytes=raw[:_KEY_ID_BYTES]), raw[_KEY_ID_BYTES:content_at], raw[content_at:])


def key_id_of(sealed: str) -> uuid.UUID:
    return box_of(sealed).key_id


def unseal(key: DataKey, sealed: str | Box, place: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(unseal_bytes(key, sealed, place), type=dict)
    return fields


def unseal_bytes(key: DataKey, sealed: str | Box, place: bytes) -> bytes:
    box = box_of(sealed) if isinstance(sealed, str) else sealed
    try:
        return key.cipher.decrypt(box.nonce, box.content, place)
    except InvalidTag:
        raise UnsealError("sealed fields do not open here") from None


def place_of(stream: str, version: int, event_type: str) -> bytes:
    """The associated data: sealed fields open only in the event that they were written for."""
    return f"{stream}\x00{version}\x00{event_type}".encode()


def wrap(key_encryption_key: bytes, key: DataKey, raw: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key_encryption_key).encrypt(nonce, raw, _wrapping_place(key.subject, key.key_id))


def unwrap(key_encryption_key: bytes, subject: str, key_id: uuid.UUID, wrapped: bytes) -> bytes:
    """The raw data key. UnsealError if it was wrapped under another key, or for another subject or id."""
    nonce, box = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
    try:
        return AESGCM(key_encryption_key).decrypt(nonce, box, _wrapping_place(subject, key_id))
    except InvalidTag:
        raise UnsealError("a data key does not open") from None


def _wrapping_place(subject: str, key_id: uuid.UUID) -> bytes:
    return f"{subject}\x00{key_id}".encode()
