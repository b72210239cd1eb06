"""Replacing every command and query process, one after the other, behind a real proxy: k8s/ relies on it."""

import asyncio
import contextlib
import itertools
from collections import Counter
from pathlib import Path
from typing import Literal

import httpx

from tests.support.chancery import Chancery
from tests.support.rolling import KINDS, Ask, Asking, Proxy, members, proxied, replace_in_turn
from tests.support.tasks import running

ASKERS = 2


async def answers_meanwhile(
    chancery: Chancery, home: Path, *, taken_out_first: Literal["yes", "no"]
) -> tuple[Counter[str], Counter[str]]:
    """What renames and token checks were answered while all four processes were replaced."""
    people = [await chancery.new_person() for _ in range(ASKERS)]
    async with contextlib.AsyncExitStack() as stack:
        command, query = [await stack.enter_async_context(members(chancery, kind, 2)) for kind in KINDS]
        proxy = await stack.enter_async_context(proxied(home, {"command": command, "query": query}))
        renames, checks = Asking(), Asking()
        questions = [
            *(renames.go_on(rename(proxy, person.bearer)) for person in people),
            *(checks.go_on(check(proxy, person.bearer)) for person in people),
        ]
        async with running(*questions):
            await asyncio.gather(
                *(
                    replace_in_turn(proxy, fleet, taken_out_first=taken_out_first)
                    for fleet in (command, query)
                )
            )
    return renames.answers, checks.answers


def rename(proxy: Proxy, headers: dict[str, str]) -> Ask:
    """Each time to another name, so that each is appended to the log."""
    numbers = itertools.count()

    async def ask(http: httpx.AsyncClient) -> httpx.Response:
        body = {"display_name": f"Ada {next(numbers)}"}
        return await http.patch(f"{proxy.urls['command']}/v1/me", headers=headers, json=body)

    return ask


def check(proxy: Proxy, headers: dict[str, str]) -> Ask:
    async def ask(http: httpx.AsyncClient) -> httpx.Response:
        return await http.get(f"{proxy.urls['query']}/v1/forward-auth", headers=headers)

    return ask


async def test_a_rolling_restart_loses_no_request(chancery: Chancery, tmp_path: Path) -> None:
    renames, checks = await answers_meanwhile(chancery, tmp_path, taken_out_first="yes")
    assert (set(renames), set(checks)) == ({"204"}, {"200"})
    assert min(renames["204"], checks["200"]) > 50


async def test_one_that_stays_in_the_proxy_while_it_goes_loses_some(
    chancery: Chancery, tmp_path: Path
) -> None:
    """So the test above could fail."""
    renames, checks = await answers_meanwhile(chancery, tmp_path, taken_out_first="no")
    assert set(renames) > {"204"}
    assert set(checks) > {"200"}
