"""Sealed fields open only where they were written, under their own key, and only whole."""

import base64
import uuid

import pytest

from eventstore.sealing import (
    DataKey,
    UnsealError,
    key_id_of,
    new_data_key,
    place_of,
    seal,
    unseal,
    unwrap,
    wrap,
)
from tests.support.memory_keys import KEY_ENCRYPTION_KEY

STREAM = "account-aa"
PLACE = place_of(STREAM, 1, "account.registered")
PERSONAL = {"email": "Ada@example.com", "display_name": "Ada"}
HEADER_BYTES = 16 + 12


def fresh_key(subject: str = STREAM) -> DataKey:
    return new_data_key(subject)[0]


def test_sealed_fields_open_in_their_own_place() -> None:
    key = fresh_key()
    assert unseal(key, seal(key, PERSONAL, PLACE), PLACE) == PERSONAL


def test_sealed_fields_name_their_key_and_show_nothing_else() -> None:
    key = fresh_key()
    sealed = seal(key, PERSONAL, PLACE)
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    assert key_id_of(sealed) == uuid.UUID(bytes=raw[:16]) == key.key_id
    assert not [value for value in PERSONAL.values() if value.encode() in raw]


def test_sealing_twice_never_gives_the_same_text() -> None:
    key = fresh_key()
    assert len({seal(key, PERSONAL, PLACE) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "place",
    [
        place_of("account-ab", 1, "account.registered"),
        place_of(STREAM, 2, "account.registered"),
        place_of(STREAM, 1, "password.changed"),
    ],
    ids=["another stream", "another version", "another type"],
)
def test_sealed_fields_that_were_moved_do_not_open(place: bytes) -> None:
    key = fresh_key()
    with pytest.raises(UnsealError, match="do not open here"):
        unseal(key, seal(key, PERSONAL, PLACE), place)


def test_the_parts_of_a_place_cannot_be_confused() -> None:
    places = {
        place_of("a-1", 1, "t"),
        place_of("a-", 11, "t"),
        place_of("a-1", 1, "1t"),
        place_of("a", 1, "t"),
    }
    assert len(places) == 4


def test_another_key_does_not_open_them() -> None:
    with pytest.raises(UnsealError, match="do not open here"):
        unseal(fresh_key(), seal(fresh_key(), PERSONAL, PLACE), PLACE)


@pytest.mark.parametrize("spot", [16, 27, HEADER_BYTES, -1])
def test_one_flipped_bit_after_the_key_id_is_found(spot: int) -> None:
    key = fresh_key()
    sealed = seal(key, PERSONAL, PLACE)
    raw = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    raw[spot] ^= 1
    with pytest.raises(UnsealError, match="do not open here"):
        unseal(key, base64.urlsafe_b64encode(raw).decode(), PLACE)


@pytest.mark.parametrize("kept", [HEADER_BYTES + 1, -4])
def test_what_was_cut_short_does_not_open(kept: int) -> None:
    key = fresh_key()
    sealed = seal(key, PERSONAL, PLACE)
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    with pytest.raises(UnsealError, match="do not open here"):
        unseal(key, base64.urlsafe_b64encode(raw[:kept]).decode(), PLACE)


@pytest.mark.parametrize(
    "text", ["", "A", "not base64url: é", base64.urlsafe_b64encode(bytes(HEADER_BYTES)).decode()]
)
def test_what_is_not_in_sealed_form_is_called_so(text: str) -> None:
    with pytest.raises(UnsealError, match="not in sealed form"):
        key_id_of(text)
    with pytest.raises(UnsealError, match="not in sealed form"):
        unseal(fresh_key(), text, PLACE)


def test_a_wrapped_key_opens_what_its_original_sealed() -> None:
    key, raw = new_data_key(STREAM)
    assert unwrap(KEY_ENCRYPTION_KEY, STREAM, key.key_id, wrap(KEY_ENCRYPTION_KEY, key, raw)) == raw


def test_a_wrapped_key_does_not_show_the_key() -> None:
    key, raw = new_data_key(STREAM)
    assert raw not in wrap(KEY_ENCRYPTION_KEY, key, raw)


def test_a_wrapped_key_opens_only_under_its_own_subject_id_and_encryption_key() -> None:
    key, raw = new_data_key(STREAM)
    wrapped = wrap(KEY_ENCRYPTION_KEY, key, raw)
    sentence = "a data key does not open"
    with pytest.raises(UnsealError, match=sentence):
        unwrap(bytes(32), STREAM, key.key_id, wrapped)
    with pytest.raises(UnsealError, match=sentence):
        unwrap(KEY_ENCRYPTION_KEY, "account-ab", key.key_id, wrapped)
    with pytest.raises(UnsealError, match=sentence):
        unwrap(KEY_ENCRYPTION_KEY, STREAM, uuid.uuid4(), wrapped)
    with pytest.raises(UnsealError, match=sentence):
        unwrap(KEY_ENCRYPTION_KEY, STREAM, key.key_id, wrapped[:-1])


def test_a_key_does_not_print_its_secret() -> None:
    key, raw = new_data_key(STREAM)
    assert raw.hex() not in repr(key)
    assert repr(raw) not in repr(key)
