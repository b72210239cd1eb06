"""One whole stack for all end-to-end tests, started like a user starts it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal

import httpx
import pytest

from localstack.ports import LOOPBACK, free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from tests.support.chancery import Chancery, until_ready
from tests.support.risk import A_DAY
from tests.support.unlimited import UNLIMITED


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    home = tmp_path_factory.mktemp("stack")
    environment = {**os.environ, **UNLIMITED, **A_DAY, **free_port_variables()}
    try:
        yield start_stack(home, environment, lifetime="caller")
    finally:
        stop_stack(home)


@pytest.fixture(scope="session")
async def chancery(stack: StackInfo) -> AsyncIterator[Chancery]:
    async with open_chancery(stack) as opened:
        yield opened


@asynccontextmanager
async def open_chancery(stack: StackInfo) -> AsyncIterator[Chancery]:
    async with httpx.AsyncClient(timeout=20) as http:
        opened = Chancery(
            home=stack.home,
            settings={**UNLIMITED, **stack.settings},
            http=http,
            command_url=stack.command_url,
            query_url=stack.query_url,
            client={},
        )
        yield replace(opened, client=await opened.new_client("chancery.introspect"))


@asynccontextmanager
async def second_command_process(
    chancery: Chancery, port: int, more: Mapping[str, str]
) -> AsyncIterator[Chancery]:
    """Another command process on the same log, e.g. with another sign-up policy.

    It keeps to itself unless `more` says otherwise, because calls that it hands on are decided by others' settings.
    """
    more = {"CHANCERY_FORWARDING": "off", "CHANCERY_COMMAND_PORT": str(port), **more}
    async with command_process(chancery, more) as (opened, process):
        yield opened
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0


@asynccontextmanager
async def command_process(
    chancery: Chancery, more: Mapping[str, str], name: Literal["command", "query"] = "command"
) -> AsyncIterator[tuple[Chancery, asyncio.subprocess.Process]]:
    """One more command (or query) process, for whatever end a test has for it; it is gone afterwards."""
    variable = f"CHANCERY_{name.upper()}_PORT"
    more = {**free_port_variables(name, "grpc"), **more}
    url = f"http://{LOOPBACK}:{more[variable]}"
    log = (chancery.home / "log" / f"{name}-{more[variable]}.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli.main",
        "serve",
        name,
        env={**os.environ, **chancery.settings, **more},
        stderr=log,
    )
    try:
        await until_ready(chancery.http, url)
        side = replace(chancery, settings={**chancery.settings, **more})
        opened = replace(side, command_url=url) if name == "command" else replace(side, query_url=url)
        yield opened, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        log.close()


@pytest.fixture(scope="session")
async def open_chancery_policy(chancery: Chancery) -> AsyncIterator[Chancery]:
    """The same log through a command process with the sign-up policy `open`."""
    port = int(free_port_variables()["CHANCERY_COMMAND_PORT"])
    async with second_command_process(chancery, port, {"CHANCERY_SIGNUP": "open"}) as opened:
        yield opened


@pytest.fixture(scope="session")
async def twin(chancery: Chancery) -> AsyncIterator[Chancery]:
    """The same log through another command process with the same settings."""
    port = int(free_port_variables()["CHANCERY_COMMAND_PORT"])
    async with second_command_process(chancery, port, {}) as opened:
        yield opened
