"""One request over HTTP/2 without TLS, with headers that no client with manners sends."""

import asyncio
from collections.abc import Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from tests.support.wire import connected

BAD_MANNERS = H2Configuration(
    client_side=True,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)
STREAM = 1
CHUNK = 65_536
PATIENCE_SECONDS = 10


async def ask_by_http2(
    url: str, headers: Sequence[tuple[str, str]], trailers: Sequence[tuple[str, str]] = ()
) -> int | None:
    """The status. None from who refuses the request without one, or speaks no HTTP/2."""
    connection = H2Connection(config=BAD_MANNERS)
    connection.initiate_connection()
    connection.send_headers(STREAM, headers, end_stream=not trailers)
    if trailers:
        connection.send_headers(STREAM, trailers, end_stream=True)
    status = None
    async with connected(url) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(connection.data_to_send())
        try:
            while data := await reader.read(CHUNK):
                for event in connection.receive_data(data):
                    if isinstance(event, ResponseReceived):
                        status = int(dict(event.headers)[b":status"])
                    if isinstance(event, StreamEnded | StreamReset | ConnectionTerminated):
                        return status
                writer.write(connection.data_to_send())
        except (ProtocolError, ConnectionResetError):
            return None
    return status
