"""Requests between processes over a real connection: what arrives, and what is not let in."""

import asyncio
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runtime.serving.forwarded import FORWARDED, Gate, NoAnswerError, NotSentError, Sender, Tls
from runtime.serving.server import Listener, bind, serve_all
from runtime.serving.stamps import LONGEST_MS, SignedRequest, signed, stamp

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
REQUEST = SignedRequest(
    method="POST",
    target="/v1/things/a%2Fb%20c;d?x=%7B%22&y=1",
    headers={
        "authorization": "Bearer abc",
        "idempotency-key": "k 1".replace(" ", "-"),
        "user-agent": "test/1",
    },
    body=b'{"a": 1}',
    client="2001:db8::1",
    seconds=1.5,
)


@dataclass(slots=True)
class Echo:
    """Remembers what came, and answers with a header that must arrive."""

    came: list[dict[str, Any]] = field(default_factory=list)
    delay_seconds: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        said: SignedRequest = scope["state"]["forwarded"]
        self.came.append({"body": await request.body(), "client": scope["client"], "said": said})
        await asyncio.sleep(self.delay_seconds)
        answer = Response(b"made", status_code=201, headers={"chancery-position": "1:2", "retry-after": "1"})
        await answer(scope, receive, send)


@asynccontextmanager
async def served(app: Echo, tls: Tls | None = None) -> AsyncIterator[str]:
    listener = Listener(app=Gate(app, KEY), socket=bind("127.0.0.1", 0), tls=tls)
    serving = asyncio.create_task(serve_all([listener]))
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{listener.port}"
    finally:
        serving.cancel()
        await asyncio.wait([serving])


@asynccontextmanager
async def sender_with(key: bytes, tls: Tls | None = None) -> AsyncIterator[Sender]:
    sender = Sender(key, tls)
    yield sender
    await sender.close()


async def test_a_request_arrives_as_it_was_and_so_does_its_answer() -> None:
    echo = Echo()
    async with served(echo) as url, sender_with(KEY) as sender:
        answer = await sender.send(url, REQUEST)
    assert (answer.status, answer.body) == (201, b"made")
    assert answer.headers == {"chancery-position": "1:2", "retry-after": "1"}
    assert echo.came == [{"body": REQUEST.body, "client": (REQUEST.client, 0), "said": REQUEST}]


async def test_another_secret_is_not_let_in_and_nothing_happens() -> None:
    echo = Echo()
    async with served(echo) as url, sender_with(OTHER_KEY) as sender:
        with pytest.raises(NotSentError):
            await sender.send(url, REQUEST)
    assert echo.came == []


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b'{"a": 2}'},
        {"target": "/v1/things/other"},
        {"method": "PUT"},
        {"headers": {**REQUEST.headers, "authorization": "Bearer abd"}},
        {"headers": {**REQUEST.headers, "idempotency-key": "k2"}},
        {"headers": {"user-agent": "test/1"}},
    ],
)
async def test_a_request_that_was_changed_on_its_way_is_not_let_in(changed: dict[str, Any]) -> None:
    echo = Echo()
    async with served(echo) as url, httpx.AsyncClient() as http:
        seen = stamp(FORWARDED, KEY, REQUEST)
        sent = replace(REQUEST, **changed)
        answer = await _send(http, url, sent, seen)
    assert (answer.status_code, echo.came) == (403, [])


@pytest.mark.parametrize("said", ["", "v1", "v2;1;2;3;4", "v1;x;1;c;m", "v1;1;1;c;m"])
async def test_a_request_without_a_good_stamp_is_not_let_in(said: str) -> None:
    echo = Echo()
    async with served(echo) as url, httpx.AsyncClient() as http:
        answer = await _send(http, url, REQUEST, said)
    assert (answer.status_code, echo.came) == (403, [])


@pytest.mark.parametrize("field_number", [2, 3])
async def test_what_the_stamp_says_in_the_open_cannot_be_changed(field_number: int) -> None:
    """The time that it may take, and the client that it is for."""
    echo = Echo()
    async with served(echo) as url, httpx.AsyncClient() as http:
        fields = stamp(FORWARDED, KEY, REQUEST).split(";")
        fields[field_number] = "9"
        answer = await _send(http, url, REQUEST, ";".join(fields))
    assert (answer.status_code, echo.came) == (403, [])


@pytest.mark.parametrize("seconds", [-1, 1])
async def test_an_old_request_is_not_let_in_and_one_from_the_future_neither(seconds: int) -> None:
    echo = Echo()
    async with served(echo) as url, httpx.AsyncClient() as http:
        sent_ms = int(time.time() * 1000) + seconds * (LONGEST_MS + 1000)
        old = signed(f"v1;{sent_ms};1500;{REQUEST.client}", FORWARDED, KEY, REQUEST)
        answer = await _send(http, url, REQUEST, old)
    assert (answer.status_code, echo.came) == (403, [])


async def test_nobody_there_means_not_sent() -> None:
    gone = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    gone.close()
    async with sender_with(KEY) as sender:
        with pytest.raises(NotSentError):
            await sender.send(url, REQUEST)


async def test_no_answer_in_time_means_that_nobody_knows() -> None:
    echo = Echo(delay_seconds=2)
    async with served(echo) as url, sender_with(KEY) as sender:
        with pytest.raises(NoAnswerError):
            await sender.send(url, replace(REQUEST, seconds=0.2))
    assert len(echo.came) == 1


async def test_with_tls_both_sides_prove_themselves(tmp_path: Path) -> None:
    tls = new_tls(tmp_path / "ours")
    stranger = new_tls(tmp_path / "theirs")
    echo = Echo()
    async with served(echo, tls) as url:
        async with sender_with(KEY, tls) as sender:
            assert (await sender.send(url, REQUEST)).status == 201
        for wrong in (replace(stranger, authority=tls.authority), stranger):
            async with sender_with(KEY, wrong) as sender:
                with pytest.raises((NotSentError, NoAnswerError)):
                    await sender.send(url, REQUEST)
    assert len(echo.came) == 1


def test_a_file_that_is_no_certificate_does_not_pass_for_one(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    path = str(tmp_path / "x.pem")
    with pytest.raises(ssl.SSLError):
        Sender(KEY, Tls(certificate=path, key=path, authority=path))


async def _send(http: httpx.AsyncClient, url: str, request: SignedRequest, value: str) -> httpx.Response:
    wanted = http.build_request(
        request.method,
        httpx.URL(url).copy_with(raw_path=request.target.encode()),
        headers={**request.headers, FORWARDED.header: value},
        content=request.body,
    )
    return await http.send(wanted)


def new_tls(folder: Path) -> Tls:
    """A certificate that is its own authority, for 127.0.0.1."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
    now = datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path = str(folder / "certificate.pem")
    return Tls(certificate=path, key=str(folder / "key.pem"), authority=path)
