"""What a broker's answer tells of its version; the bytes are those of KIP-482 and KIP-584."""

import asyncio
import struct

import pytest

from runtime.kafka import KafkaUnavailableError
from runtime.kafka_access import KafkaAccess
from runtime.kafka_version import kafka_version, metadata_level, version_of


def answer(*features: tuple[str, int, int], error: int = 0) -> bytes:
    """Two APIs, features if there are any, and tags that nobody knows around them."""
    apis = b"".join(struct.pack(">hhh", key, 0, 9) + b"\0" for key in (0, 18))
    listed = b"".join(
        bytes([len(name) + 1]) + name.encode() + struct.pack(">hh", low, high) + b"\1\7\2xy" for name, low, high in features
    )  # fmt: skip
    supported = bytes([len(features) + 1]) + listed
    tags = b"\x02\x01\x08" + struct.pack(">q", 3) + b"\x00" + bytes([len(supported)]) + supported
    return (
        struct.pack(">ih", 1, error) + b"\x03" + apis + struct.pack(">i", 0) + (tags if features else b"\0")
    )


@pytest.mark.parametrize(
    ("raw", "level"),
    [
        (answer(("kraft.version", 0, 1), ("metadata.version", 7, 27)), 27),
        (answer(("metadata.version", 1, 300), ("transaction.version", 0, 2)), 300),
        (answer(("kraft.version", 0, 1)), 0),
        (answer(), 0),
        (answer(("metadata.version", 7, 27), error=35), 0),
    ],
)
def test_the_level_is_the_highest_that_the_broker_supports(raw: bytes, level: int) -> None:
    assert metadata_level(raw) == level


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (0, "before 3.8"),
        (20, "3.8"),
        (21, "3.9"),
        (22, "4.0"),
        (25, "4.0"),
        (27, "4.1"),
        (40, "4.4 or later"),
    ],
)
def test_each_release_has_levels_of_its_own(level: int, text: str) -> None:
    assert str(version_of(level)) == text
    assert (version_of(level).number >= (4, 0)) == (level >= 22)


async def test_a_broker_that_hangs_holds_up_nobody() -> None:
    """The first of two listens and says nothing."""

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung.append(writer)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        raw = answer(("metadata.version", 1, 27))
        writer.write(struct.pack(">i", len(raw)) + raw)
        writer.close()

    hung: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    speaking = await asyncio.start_server(talk, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (silent, speaking)]
    async with silent, speaking:
        access = KafkaAccess(",".join(f"127.0.0.1:{port}" for port in ports))
        assert str(await asyncio.wait_for(kafka_version(access), 1)) == "4.1"
        for writer in hung:
            writer.close()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", struct.pack(">i", 3) + b"abc"])
async def test_what_is_no_kafka_is_unavailable(said: bytes) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(KafkaUnavailableError):
            await kafka_version(KafkaAccess(f"127.0.0.1:{port}"))
