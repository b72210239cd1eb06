"""Which version of Kafka a broker is, told from the features that it names (ApiVersions, KIP-584).

The client library does not tell. A broker says up to which `metadata.version` it goes, and each release added some.
"""

import asyncio
import ssl
import struct
from dataclasses import dataclass
from typing import Any

from runtime.kafka import KafkaUnavailableError
from runtime.kafka_access import KafkaAccess
from runtime.kafka_refusal import refusal

_SECONDS = 2.0
_API_VERSIONS, _VERSION = 18, 3
_CLIENT = b"chancery"
_MOST_BYTES = 1 << 20
_METADATA_VERSION = "metadata.version"
_SUPPORTED_FEATURES = 0
"""The tag of the list in the answer."""
_FIRST_LEVELS = (
    (31, (4, 4)), (30, (4, 3)), (28, (4, 2)), (26, (4, 1)), (22, (4, 0)), (21, (3, 9)), (20, (3, 8))
)  # fmt: skip
"""The first `metadata.version` of each release: Kafka's MetadataVersion.java."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaVersion:
    """`is_exact` is not so at the ends of what was known when this was written."""

    number: tuple[int, int]
    is_exact: bool

    def __str__(self) -> str:
        text = ".".join(map(str, self.number))
        if self.is_exact:
            return text
        return f"{text} or later" if self.number == _FIRST_LEVELS[0][1] else f"before {text}"


def version_of(level: int) -> KafkaVersion:
    for first, number in _FIRST_LEVELS:
        if level >= first:
            return KafkaVersion(number=number, is_exact=first != _FIRST_LEVELS[0][0])
    return KafkaVersion(number=_FIRST_LEVELS[-1][1], is_exact=False)


async def kafka_version(access: KafkaAccess) -> KafkaVersion:
    """Of the first broker that answers; all are asked at once. KafkaUnavailableError if none does.

    Brokers answer this before they know who asks.
    """
    context = access.context()
    asking = [asyncio.ensure_future(_version(address, context)) for address in access.bootstrap.split(",")]
    reason = "no broker is named"
    try:
        for answer in asyncio.as_completed(asking):
            try:
                return await answer
            except (OSError, TimeoutError, EOFError, ValueError, struct.error, IndexError) as error:
                reason = type(error).__name__
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    raise KafkaUnavailableError(f"Kafka: {await refusal(access) or reason}")


async def _version(address: str, context: ssl.SSLContext | None) -> KafkaVersion:
    host, _, port = address.strip().rpartition(":")
    async with asyncio.timeout(_SECONDS):
        return version_of(metadata_level(await _ask(host.strip("[]"), int(port), context)))


async def _ask(host: str, port: int, context: ssl.SSLContext | None) -> bytes:
    header = struct.pack(">hhih", _API_VERSIONS, _VERSION, 1, len(_CLIENT)) + _CLIENT + b"\0"
    body = _compact(_CLIENT) + _compact(b"1") + b"\0"
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(struct.pack(">i", len(header + body)) + header + body)
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        if not 0 < size <= _MOST_BYTES:
            raise ValueError("this is no answer of Kafka's")
        return await reader.readexactly(size)
    finally:
        writer.close()


def _compact(text: bytes) -> bytes:
    return bytes([len(text) + 1]) + text


def metadata_level(answer: bytes) -> int:
    """The highest `metadata.version` that the broker supports; 0 if it names none, as brokers before 3.3."""
    words = _Words(answer)
    _, error = words.take(">ih")
    if error:
        return 0
    for _ in range(words.number() - 1):
        words.take(">hhh")
        words.skip_tags()
    words.take(">i")
    for _ in range(words.number()):
        tag, size = words.number(), words.number()
        if tag == _SUPPORTED_FEATURES:
            return _level_among(words)
        words.take(f">{size}s")
    return 0


def _level_among(words: "_Words") -> int:
    level = 0
    for _ in range(words.number() - 1):
        (name,) = words.take(f">{words.number() - 1}s")
        _, highest = words.take(">hh")
        words.skip_tags()
        if name.decode() == _METADATA_VERSION:
            level = highest
    return level


class _Words:
    """Reads Kafka's flexible encoding (KIP-482) from its beginning on."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, shape: str) -> tuple[Any, ...]:
        found = struct.unpack_from(shape, self._raw, self._at)
        self._at += struct.calcsize(shape)
        return found

    def number(self) -> int:
        """An unsigned varint."""
        number = shift = 0
        while True:
            byte = self._raw[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004  # the bit that says that more follow
                return number

    def skip_tags(self) -> None:
        for _ in range(self.number()):
            self.number()
            self.take(f">{self.number()}s")
