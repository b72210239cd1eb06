"""The ceiling: our own server with one answer that is always the same, in a process of its own."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
from starlette.types import Receive, Scope, Send

from localstack.ports import LOOPBACK, free_port_variables
from runtime.serving.answers import json_answer
from runtime.serving.ready import ReadyAnswer
from runtime.serving.server import serve_http

START_SECONDS = 20.0
_MEMBERS = {
    "active": True,
    "sub": "abxxbu5p4cle2rsgi5ktm7c23e",
    "client_id": "chancery",
    "scope": "openid profile email",
    "exp": 1_800_000_000,
    "iat": 1_799_999_700,
    "iss": "http://127.0.0.1:8082",
    "aud": "chancery",
    "jti": "abtunt2rg7bhv6ptmhxkzokh3i",
    "token_type": "Bearer",
    "sid": "abtunt2rg7bhv6ptmhxkzokh3i",
    "acr": "aal1",
    "amr": ["pwd"],
}
_ANSWER = ReadyAnswer.of(json_answer(200, _MEMBERS))


async def application(_: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await _ANSWER.send(send)


@contextlib.contextmanager
def fixed_answer() -> Iterator[int]:
    """The port of the process while it runs."""
    port = int(free_port_variables("query")["CHANCERY_QUERY_PORT"])
    process = subprocess.Popen([sys.executable, "-m", "bench.fixed_answer", str(port)])  # noqa: S603  # ourselves
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(port):
            assert time.monotonic() < until, "the fixed answer did not start"
            time.sleep(0.1)  # between two looks
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://{LOOPBACK}:{port}/", trust_env=False).status_code == 200  # noqa: PLR2004  # HTTP's
    return False


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_http(application, host=LOOPBACK, port=int(sys.argv[1])))
