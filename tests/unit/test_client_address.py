"""Whose request it is: what proxies say, what clients make up, and the many ways to write one address."""

from collections.abc import Sequence

import pytest
from starlette.types import Receive, Scope, Send

from runtime.serving.client_address import (
    KnownClient,
    Network,
    client_address,
    parse_networks,
    prefix_of,
)

PROXY = "10.0.0.7"
OUTER_PROXY = "2001:db8:ffff::1"
CLIENT = "203.0.113.9"


def trusted(text: str = "10.0.0.0/8, 2001:db8:ffff::/48") -> tuple[Network, ...]:
    networks = parse_networks(text)
    assert isinstance(networks, tuple)
    return networks


@pytest.mark.parametrize("peer", [CLIENT, "192.168.1.1", "::1", "10.0.0.7.example"])
def test_abuse_d2_nobody_but_a_trusted_proxy_says_who_a_client_is(peer: str) -> None:
    assert client_address(peer, ["198.51.100.1"], trusted()) == peer
    assert client_address(peer, ["198.51.100.1"], ()) == peer


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([CLIENT], CLIENT),
        ([f"  {CLIENT}\t"], CLIENT),
        ([f"198.51.100.1, {CLIENT}"], CLIENT),
        (["198.51.100.1", CLIENT], CLIENT),
        ([f"{CLIENT}, {OUTER_PROXY}"], CLIENT),
        ([f"198.51.100.1, {CLIENT}, {OUTER_PROXY}, 10.1.1.1"], CLIENT),
        ([f"<script>, ,999.1.1.1, {CLIENT}"], CLIENT),
        ([f"127.0.0.1, ::1, {CLIENT}"], CLIENT),
        ([f"::ffff:{CLIENT}, ::ffff:10.1.1.1"], CLIENT),
    ],
)
def test_abuse_d2_what_a_client_made_up_stands_left_of_what_the_proxies_saw(
    lines: Sequence[str], address: str
) -> None:
    assert client_address(PROXY, lines, trusted()) == address


@pytest.mark.parametrize(
    "line",
    ["", ",", "unknown", "_hidden", f"{CLIENT}:4711", "0x7f.1", "203.0.113.09", "1" * 60_000, f"{CLIENT},"],
)
def test_abuse_d2_garbage_where_the_client_should_stand_leaves_the_peer(line: str) -> None:
    assert client_address(PROXY, [line], trusted()) == PROXY
    assert client_address(PROXY, [f"{CLIENT}, {line}"], trusted()) == PROXY


def test_without_the_header_a_proxy_is_a_client() -> None:
    assert client_address(PROXY, [], trusted()) == PROXY


def test_abuse_d2_among_trusted_addresses_the_one_that_the_peer_saw_is_believed() -> None:
    """Whoever sits in a trusted network can write the others."""
    assert client_address(PROXY, ["10.2.2.2, 10.3.3.3, 10.4.4.4"], trusted()) == "10.4.4.4"
    assert client_address(PROXY, ["1.1.1.1, 2.2.2.2"], trusted("0.0.0.0/0")) == "2.2.2.2"


def test_a_proxy_is_known_in_any_spelling() -> None:
    assert client_address(f"::ffff:{PROXY}", [CLIENT], trusted()) == CLIENT
    assert client_address("2001:DB8:FFFF:0::0001", [CLIENT], trusted()) == CLIENT


def test_what_has_no_address_stays_as_it_is() -> None:
    assert client_address(None, [CLIENT], trusted("0.0.0.0/0")) is None
    assert client_address("", [CLIENT], trusted("0.0.0.0/0")) == ""


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        (CLIENT, CLIENT),
        (f"::ffff:{CLIENT}", CLIENT),
        ("::FFFF:CB00:7109", CLIENT),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:0001:0002::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::203.0.113.9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        (None, "unknown"),
        ("nobody", "unknown"),
    ],
)
def test_abuse_d3_aliases_and_neighbours_of_an_address_share_its_prefix(
    address: str | None, prefix: str
) -> None:
    assert prefix_of(address) == prefix


def test_abuse_d3_ten_thousand_addresses_of_one_prefix_are_one_client() -> None:
    assert {prefix_of(f"2001:db8:1:2:{number:x}::{number:x}") for number in range(10_000)} == {
        "2001:db8:1:2::/64"
    }


async def test_the_application_sees_the_client_and_nothing_else_is_changed() -> None:
    seen: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    headers = [
        (b"x-real-ip", b"198.51.100.1"),
        (b"forwarded", b"for=198.51.100.2"),
        (b"x-forwarded-for", b"198.51.100.3"),
        (b"x-forwarded-for", CLIENT.encode()),
    ]
    scope = {"type": "http", "headers": headers, "client": (PROXY, 4711)}
    for outside in (KnownClient(application, trusted()), KnownClient(application, ())):
        await outside(scope, nothing, nothing)  # type: ignore[arg-type]  # never called
    assert seen == [{**scope, "client": (CLIENT, 4711)}, {**scope, "client": (PROXY, 4711)}]
    for strange in ({"type": "http", "headers": headers, "client": None}, {"type": "lifespan"}):
        await KnownClient(application, trusted())(strange, nothing, nothing)  # type: ignore[arg-type]  # as above
        assert seen[-1] == strange
