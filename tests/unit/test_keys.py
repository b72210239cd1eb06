"""The keys behind CHANCERY_SECRET_KEY: one for each purpose, the same for ever."""

import hashlib
import hmac
from dataclasses import astuple

from hypothesis import given
from hypothesis import strategies as st

from runtime.keys import derive_keys, keyed_digest

SECRET = bytes(range(32))


def test_every_purpose_has_a_key_of_its_own_and_none_is_the_secret() -> None:
    keys = astuple(derive_keys(SECRET))
    assert len({*keys, SECRET}) == len(keys) + 1
    assert {len(key) for key in keys} == {32}
    assert not {*keys} & {*astuple(derive_keys(bytes(32)))}


def test_the_pepper_is_the_documented_one_because_it_can_never_change() -> None:
    pseudorandom = hmac.new(bytes(32), SECRET, hashlib.sha256).digest()
    info = b"chancery/v1/identifier pepper"
    assert derive_keys(SECRET).pepper == hmac.new(pseudorandom, info + b"\x01", hashlib.sha256).digest()


def test_keys_are_never_printed() -> None:
    assert repr(derive_keys(SECRET)) == "DerivedKeys()"


def test_a_digest_is_the_documented_mac() -> None:
    message = b"\x00\x00\x00\x02ab" + b"\x00\x00\x00\x01c"
    assert keyed_digest(SECRET, b"ab", b"c") == hmac.new(SECRET, message, hashlib.sha256).digest()


@given(one=st.lists(st.binary(max_size=3), max_size=4), two=st.lists(st.binary(max_size=3), max_size=4))
def test_parts_cannot_be_confused_with_one_another(one: list[bytes], two: list[bytes]) -> None:
    assert (keyed_digest(SECRET, *one) == keyed_digest(SECRET, *two)) == (one == two)
