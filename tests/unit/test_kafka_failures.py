"""What the event loop raises of a connection that has just gone is a failure of the broker, and no bug that halts a partition."""

import asyncio

import uvloop

from runtime.kafka import CLIENT_FAILURES


def test_a_connection_that_was_closed_a_moment_ago_is_a_failure_of_the_broker() -> None:
    async def use_what_is_closed() -> Exception | None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        transport = writer.transport
        transport.abort()
        await asyncio.sleep(0.01)  # until the loop has closed it
        server.close()
        try:
            transport.get_write_buffer_limits()
            transport.set_write_buffer_limits()
        except Exception as error:  # noqa: BLE001  # what it is, is the question
            return error
        return None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        error = runner.run(use_what_is_closed())
    assert type(error) is RuntimeError
    assert isinstance(error, CLIENT_FAILURES)
