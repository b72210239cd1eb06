"""A real Chromium with a virtual authenticator: the one on PATH, else Debian's, fetched without installing it.

It is driven over a pair of pipes (Chrome DevTools Protocol), so it listens nowhere.
"""

import asyncio
import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localstack.child import ends_with_parent
from tests.support.tasks import eventually

FETCHED = Path(__file__).parent.parent.parent / "build" / "chromium"
NAME = "chromium-headless-shell"
WAIT_SECONDS = 30
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu")
_LARGEST_MESSAGE = 16 * 1024 * 1024
AUTHENTICATOR = {
    "protocol": "ctap2",
    "ctap2Version": "ctap2_1",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@functools.cache
def binary() -> Path:
    found = shutil.which(NAME) or shutil.which("chromium")
    if found is not None:
        return Path(found)
    fetched = FETCHED / "usr" / "lib" / "chromium" / NAME
    if not fetched.exists():
        _fetch()
    return fetched


def _fetch() -> None:
    """With the libraries that this machine lacks. A fresh machine may have no list of packages yet."""
    FETCHED.mkdir(parents=True, exist_ok=True)
    if not _missing():
        _run(["apt-get", "-q", "update"])
    done = _run(["apt-get", "-q", "download", *_missing()])
    assert done.returncode == 0, f"put {NAME} on PATH; apt-get says: {done.stderr}"
    for package in sorted(FETCHED.glob("*.deb"), key=lambda one: one.name.startswith(NAME)):  # itself at last
        subprocess.run(["dpkg", "-x", str(package), str(FETCHED)], check=True, timeout=120)
        package.unlink()


def _missing() -> list[str]:
    """The packages that an installation would bring; nothing if there is no list of packages."""
    planned = _run(["apt-get", "-s", "-q", "--no-install-recommends", "install", NAME])
    return [line.split()[1] for line in planned.stdout.splitlines() if line.startswith("Inst ")]


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=FETCHED, capture_output=True, text=True, timeout=300, check=False)


@dataclass(slots=True, kw_only=True)
class Wire:
    """Commands go out, answers come back by their number. Messages end with NUL."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        answer = await self.exchange(method, session, **params)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def exchange(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The answer, also if it is an error. Events that come before it are of no interest."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        self.writer.write(json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                answer: dict[str, Any] = json.loads((await self.reader.readuntil(b"\0"))[:-1])
                if answer.get("id") == number:
                    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One tab, with an authenticator that is always at hand."""

    wire: Wire
    session: str
    authenticator: str

    async def open(self, url: str) -> None:
        await self.wire.ask("Page.navigate", self.session, url=url)

        async def is_there() -> bool:
            """Not if the old page went away while it was asked."""
            where = "document.readyState + location.href"
            answer = await self.wire.exchange("Runtime.evaluate", self.session, expression=where)
            said = answer.get("result", {}).get("result", {}).get("value")
            return bool(said == "complete" + url)

        await eventually(is_there, within_seconds=WAIT_SECONDS)

    async def run(self, expression: str, **names: Any) -> Any:
        """The value of an expression, awaited; AssertionError with what it throws."""
        given = "".join(f"const {name} = {json.dumps(value)};" for name, value in names.items())
        code = f"(async () => {{ {given} return await ({expression}); }})()"
        answer = await self.wire.ask(
            "Runtime.evaluate", self.session, expression=code, awaitPromise=True, returnByValue=True
        )
        thrown = answer.get("exceptionDetails")
        assert thrown is None, thrown["exception"].get("description", thrown)
        return answer["result"].get("value")

    async def define(self, script: str) -> None:
        """Functions that later expressions use."""
        answer = await self.wire.ask("Runtime.evaluate", self.session, expression=script)
        assert "exceptionDetails" not in answer, answer

    async def passkeys(self) -> list[dict[str, Any]]:
        """What the authenticator holds."""
        answer = await self.wire.ask(
            "WebAuthn.getCredentials", self.session, authenticatorId=self.authenticator
        )
        held: list[dict[str, Any]] = answer["credentials"]
        return held

    async def verify_user(self, *, succeeds: bool) -> None:
        """Whether the next touches are by the finger that the authenticator knows."""
        await self.wire.ask(
            "WebAuthn.setUserVerified",
            self.session,
            authenticatorId=self.authenticator,
            isUserVerified=succeeds,
        )


@asynccontextmanager
async def open_page(folder: Path) -> AsyncIterator[Page]:
    async with _open_browser(folder) as wire:
        target = await wire.ask("Target.createTarget", url="about:blank")
        attached = await wire.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        session = attached["sessionId"]
        await wire.ask("WebAuthn.enable", session)
        added = await wire.ask("WebAuthn.addVirtualAuthenticator", session, options=AUTHENTICATOR)
        yield Page(wire=wire, session=session, authenticator=added["authenticatorId"])


@asynccontextmanager
async def _open_browser(folder: Path) -> AsyncIterator[Wire]:
    its_in, our_out = os.pipe()
    our_in, its_out = os.pipe()
    with (folder / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "/bin/bash",
            "-c",
            f'exec "$@" 3<&{its_in} 4>&{its_out}',
            "bash",
            str(binary()),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}/profile",
            env={**os.environ, **_library_path()},
            stdout=log,
            stderr=log,
            pass_fds=(its_in, its_out),
            preexec_fn=ends_with_parent(signal.SIGKILL),
        )
    os.close(its_in)
    os.close(its_out)
    try:
        async with _open_wire(our_in, our_out) as wire:
            yield wire
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def _open_wire(our_in: int, our_out: int) -> AsyncIterator[Wire]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LARGEST_MESSAGE)
    incoming, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_in, "rb", 0)
    )
    outgoing, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(our_out, "wb", 0)
    )
    try:
        yield Wire(reader=reader, writer=asyncio.StreamWriter(outgoing, protocol, None, loop))
    finally:
        incoming.close()
        outgoing.close()


def _library_path() -> Mapping[str, str]:
    """Where the fetched libraries are; nothing for a browser that is installed."""
    if not FETCHED.exists():
        return {}
    folders = [FETCHED / name for name in _LIBRARIES]
    return {"LD_LIBRARY_PATH": ":".join(f"{folder}:{folder}/pulseaudio" for folder in folders)}
