"""Wrapping data keys: the port that a key management service may take, and the keys of the configuration."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Protocol

from eventstore.sealing import DataKey, UnsealError, unwrap, wrap
from runtime.settings import Settings, secret_bytes


class KeyEncryption(Protocol):
    """Wraps and unwraps data keys under keys that it never shows."""

    @property
    def current(self) -> str:
        """The id of the key-encryption key that wraps now."""
        ...

    def wrap(self, key: DataKey, raw: bytes) -> bytes: ...

    def unwrap(self, kek: str, subject: str, key_id: uuid.UUID, wrapped: bytes) -> bytes:
        """The raw data key. UnsealError if the key-encryption key `kek` is not at hand or is not the right one."""
        ...


class LocalKeyEncryption:
    """Key-encryption keys of 32 bytes from the configuration: the current one, and those before it."""

    def __init__(self, current: bytes, before: Sequence[bytes] = ()) -> None:
        self._keys: Mapping[str, bytes] = {_id_of(key): key for key in (*before, current)}
        self._current = _id_of(current)

    @property
    def current(self) -> str:
        return self._current

    def wrap(self, key: DataKey, raw: bytes) -> bytes:
        return wrap(self._keys[self._current], key, raw)

    def unwrap(self, kek: str, subject: str, key_id: uuid.UUID, wrapped: bytes) -> bytes:
        """Records of before key-encryption keys had ids name none: every key at hand is tried."""
        candidates = [self._keys[kek]] if kek in self._keys else [] if kek else list(self._keys.values())
        for candidate in candidates:
            try:
                return unwrap(candidate, subject, key_id, wrapped)
            except UnsealError:
                continue
        raise UnsealError(
            "a data key does not open: CHANCERY_KEY_ENCRYPTION_KEY is not the one it was wrapped with, "
            "nor is any of CHANCERY_KEY_ENCRYPTION_KEYS_BEFORE"
        )


def key_encryption(settings: Settings) -> LocalKeyEncryption:
    current, *before = (secret_bytes(key) for key in settings.wrapping_keys)
    return LocalKeyEncryption(current, before)


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"chancery/kek/v1\x00" + key).hexdigest()[:16]
