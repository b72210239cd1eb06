"""Requests that two servers may understand in two ways, each with a forged request within it."""

import asyncio

from tests.support.wire import connected

FIRST_SECONDS = 10.0
QUIET_SECONDS = 0.5
CHUNK = 65_536
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Auth-Account: forged\r\nX-Auth-Session: forged\r\n\r\n"
SIZE = len(SMUGGLED)
CHUNKS = f"{SIZE:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
AFTER_CHUNKS = f"0\r\n\r\n{SMUGGLED}"
WHOLE = f"Content-Length: {len(AFTER_CHUNKS)}"

AMBIGUOUS = [
    f"{head}\r\n\r\n{body}"
    for head, body in (
        (f"{WHOLE}\r\nTransfer-Encoding: chunked", AFTER_CHUNKS),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4", CHUNKS),
        (f"{WHOLE}\r\nTransfer-Encoding : chunked", AFTER_CHUNKS),
        (f"{WHOLE}\r\nTransfer-Encoding:\x0bchunked", AFTER_CHUNKS),
        (f"{WHOLE}\r\nX: y\r\n Transfer-Encoding: chunked", AFTER_CHUNKS),
        (f"{WHOLE}\r\nX: y\nTransfer-Encoding: chunked", AFTER_CHUNKS),
        ("X: y\rX-Auth-Account: forged", ""),
        ("Transfer-Encoding: xchunked", CHUNKS),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", CHUNKS),
        ("Transfer_Encoding: chunked", CHUNKS),
        (f"Content-Length: 0\r\nContent-Length: {SIZE}", SMUGGLED),
        (f"Content-Length: 0, {SIZE}", SMUGGLED),
        (f"Content-Length: +{SIZE}", SMUGGLED),
        ("Transfer-Encoding: chunked", f"2;\nxx\r\n{SIZE + 5:x}\r\n{AFTER_CHUNKS}\r\n0\r\n\r\n"),
        ("X: y", SMUGGLED),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
            SMUGGLED,
        ),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7", SMUGGLED),
    )
]


async def say(url: str, request: bytes) -> bytes:
    """All that is answered, until nothing more was for a while."""
    said = b""
    async with connected(url) as (reader, writer):
        writer.write(request)
        try:
            while True:
                async with asyncio.timeout(QUIET_SECONDS if said else FIRST_SECONDS):
                    data = await reader.read(CHUNK)
                if not data:
                    return said
                said += data
        except (TimeoutError, ConnectionResetError):
            return said
