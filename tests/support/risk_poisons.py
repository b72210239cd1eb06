"""Everything that may stand in the public topic before the risk worker: what each kind is, and what is to be told of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from projectors.risk.signals import Flaw
from runtime.clock import rfc3339, utc_now
from tests.support.poisons import MARK, MEGABYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicFailure:
    """A refused password as the relay publishes it, or what became of one. A header of None has no value."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None]

    @property
    def pairs(self) -> list[tuple[str, bytes | None]]:
        return list(self.headers.items())


def failure(account_id: str, partition: int, seq: int, at: datetime | None = None) -> PublicFailure:
    value = {"account_id": account_id, "cause": "wrong-password", "source": ""}
    headers = {
        "ce_type": "chancery.sign_in.failed.v1",
        "ce_id": f"{partition}:{seq}:0",
        "ce_source": "urn:chancery:log:this",
        "ce_time": rfc3339(at or utc_now()),
    }
    return PublicFailure(
        key=account_id.encode(),
        value=msgspec.json.encode(value),
        headers={name: text.encode() for name, text in headers.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPoison:
    """`flaw` is what the worker says of it; None where it is an event like others, or means nothing."""

    name: str
    spoil: Callable[[PublicFailure], PublicFailure]
    flaw: Flaw | None = "unreadable"


def _of_value(name: str, value: bytes | None) -> RiskPoison:
    return RiskPoison(name=name, spoil=lambda good: replace(good, value=value))


def _of_data(name: str, **data: object) -> RiskPoison:
    def spoil(good: PublicFailure) -> PublicFailure:
        said = {**msgspec.json.decode(good.value or b""), **data}
        key = said["account_id"].encode() if isinstance(said["account_id"], str) else good.key
        return replace(good, key=key, value=msgspec.json.encode(said))

    return RiskPoison(name=name, spoil=spoil)


def _of_header(name: str, header: str, value: bytes | None, flaw: Flaw | None = "unreadable") -> RiskPoison:
    return RiskPoison(
        name=name, spoil=lambda good: replace(good, headers={**good.headers, header: value}), flaw=flaw
    )


def _of_key(name: str, key: bytes | None) -> RiskPoison:
    return RiskPoison(name=name, spoil=lambda good: replace(good, key=key), flaw="misplaced")


_TEXT = MARK.encode()
RISK_POISONS = (
    _of_value("bad JSON", b'{"account_id":' + _TEXT),
    _of_value("other JSON", b"[1]"),
    _of_value("not UTF-8", b'{"account_id":"\xff","cause":"locked"}'),
    _of_value("empty", b""),
    _of_value("null", None),
    _of_value("1 MB", _TEXT * (MEGABYTE // len(MARK))),
    _of_value("1 MB of nesting", b'{"x":' + b"[" * MEGABYTE),
    _of_value("1 MB of digits", b'{"account_id":' + b"1" * MEGABYTE + b"}"),
    _of_data("bad data", cause=[MARK]),
    _of_data("no account", account_id=None),
    _of_data("a network of a thousand characters", source="n" * 1000),
    _of_data("an account of 100 KB", account_id="a" * 100_000),
    RiskPoison(name="no headers", spoil=lambda good: replace(good, headers={}), flaw="foreign"),
    _of_header("a header without a value", "ce_id", None, "foreign"),
    _of_header("unknown type", "ce_type", b"chancery.session.unheard_of.v1", "unknown-type"),
    _of_header("unknown revision", "ce_type", b"chancery.sign_in.failed.v99", "unknown-type"),
    _of_header("no time", "ce_time", _TEXT),
    _of_header("a time without a zone", "ce_time", b"2026-01-31T12:00:00"),
    _of_header(
        "a time far ahead", "ce_time", rfc3339(utc_now() + timedelta(days=30_000)).encode(), "ahead"
    ),
    _of_header("no place", "ce_id", _TEXT),
    _of_header("wrong partition", "ce_id", b"1023:3:0", "misplaced"),
    _of_key("wrong key", _TEXT),
    _of_key("no key", None),
    _of_header("of another log", "ce_source", b"urn:chancery:log:another", None),
    RiskPoison(
        name="another event",
        spoil=lambda good: replace(
            good, headers={**good.headers, "ce_type": b"chancery.session.revoked.v1"}, value=b"{"
        ),
        flaw=None,
    ),
)  # fmt: skip
