"""Whether a part answers, asked in its own protocol. A probe never raises and never waits over a second."""

import asyncio
import struct

from localstack.ports import LOOPBACK

PROBE_SECONDS = 1.0
METADATA_KEY, METADATA_VERSION = 3, 1
"""Kafka's Metadata request; version 1 with no topics answers with the registered brokers."""

OK_STATUS = b"200"


async def kafka_answers(port: int) -> bool:
    """True once the broker is registered and unfenced: it then names itself, by its port, in the metadata."""
    body = struct.pack(">hhih", METADATA_KEY, METADATA_VERSION, 1, -1) + struct.pack(">i", 0)
    question = struct.pack(">i", len(body)) + body
    head = await _ask(port, question, 4)
    if len(head) != 4:  # noqa: PLR2004 - the answer's length
        return False
    answer = await _ask(port, question, 4 + struct.unpack(">i", head)[0])
    return struct.pack(">i", port) in answer[12:]


async def valkey_answers(port: int) -> bool:
    return await _ask(port, b"PING\r\n", 5) == b"+PONG"


async def smtp_answers(port: int) -> bool:
    return await _ask(port, b"", 4) == b"220 "


async def http_is_ready(port: int) -> bool:
    request = b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    answer = await _ask(port, request, 12)
    return answer[9:12] == OK_STATUS


async def postgres_answers(port: int, pg_isready: str) -> bool:
    """What PostgreSQL's own `pg_isready` says: it accepts connections."""
    process = await asyncio.create_subprocess_exec(
        pg_isready,
        *("--host", LOOPBACK, "--port", str(port), "--timeout", "1", "--quiet"),
    )
    return await process.wait() == 0


async def _ask(port: int, question: bytes, answer_bytes: int) -> bytes:
    """The first bytes of the answer; empty when there is none in time."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(question)
                return await reader.readexactly(answer_bytes)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return b""
