"""Token checks over HTTP: 100,000 live tokens, one in a hundred of them revoked, against the server's own ceiling.

`python -m bench.tokens --json` starts Chancery and a fixed answer on the same server, measures both in turn with the
same generator, and prints one JSON object as its last line. The generator knows which tokens are revoked and counts
every answer that is wrong. About 5 minutes; `--targets all` measures other servers too (`bench/peers.py`).
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import uvloop

from bench.blast import Question, blast
from bench.fixed_answer import fixed_answer
from bench.load import CpuMeter, Tally, http_request, resident_bytes
from bench.peers import Row, measure_chancery, measure_peers
from bench.token_clients import measure_grpc, measure_sdk, query_process
from cli.admin import register_client
from command_api.open_writer import open_writer
from domain.signing_keys import signing
from events.streams import SIGNING_KEYS, new_id
from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from runtime.access_token import Claims, sign_access_token
from runtime.collector import collect_seldom
from runtime.settings import Settings, load_settings
from runtime.signing import signing_key

TOKENS = 100_000
REVOKED_OF = 100
"""One token of so many is revoked."""
CONNECTIONS = 32
BATCH = 100
WARM_UP, SECONDS = 2.0, 6.0
ROUNDS = 3
FORM = "content-type: application/x-www-form-urlencoded\r\n"
_ACTIVE, _INACTIVE = b'"active":true', b'{"active":false}'


def basic_of(client: Mapping[str, str]) -> str:
    """Its Authorization header."""
    pair = f"{quote_plus(client['client_id'])}:{quote_plus(client['client_secret'])}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


async def mint(settings: Settings, client_id: str, count: int) -> list[str]:
    """Tokens signed with the platform's own key; the first half are the client's, the others of sessions."""
    async with open_writer(settings, deadline_seconds=30) as opened:
        await opened.writer.catch_up()
        newest = signing(await opened.writer.state(SIGNING_KEYS), opened.clock())
        now = int(opened.clock().timestamp())
    assert newest is not None
    key = signing_key(newest.kid, newest.alg, newest.private_pem or "")
    common: dict[str, Any] = {
        "issuer": settings.issuer,
        "audience": (settings.audience,),
        "issued_at": now,
        "expires_at": now + settings.access_token_seconds,
    }
    clients = (
        Claims(
            **common, subject=client_id, client_id=client_id, scope="chancery.introspect", token_id=new_id()
        )
        for _ in range(count // 2)
    )
    people = (
        Claims(
            **common,
            subject=new_id(),
            client_id="chancery",
            scope=settings.person_scope,
            token_id=new_id(),
            session_id=new_id(),
            auth_time=now,
            acr="aal1",
            amr=("pwd",),
        )
        for _ in range(count - count // 2)
    )
    return [sign_access_token(claims, key) for claims in (*clients, *people)]


def introspection(token: str, basic: str, *, is_revoked: bool) -> Question:
    headers = f"{FORM}authorization: {basic}\r\n"
    request = http_request("POST", "/oauth/introspect", b"token=" + token.encode(), headers)
    return Question(request, _INACTIVE if is_revoked else _ACTIVE)


def forward_auth(token: str) -> Question:
    headers = f"authorization: Bearer {token}\r\n"
    return Question(http_request("GET", "/v1/forward-auth", b"", headers), b"x-auth-")


def batch(tokens: Sequence[str], revoked: frozenset[str], bearer: str) -> Question:
    content = json.dumps({"tokens": list(tokens)}, separators=(",", ":")).encode()
    headers = f"content-type: application/json\r\nauthorization: Bearer {bearer}\r\n"
    first = _INACTIVE if tokens[0] in revoked else b'{"active":true'
    return Question(http_request("POST", "/v1/tokens/validate", content, headers), b"[" + first)


async def revoke(port: int, tokens: Sequence[str], basic: str) -> None:
    """By the public way: each is acknowledged before this returns."""
    headers = f"{FORM}authorization: {basic}\r\n"
    questions = [
        Question(http_request("POST", "/oauth/revoke", b"token=" + token.encode(), headers), b"HTTP/1.1 200")
        for token in tokens
    ]
    tally = await blast(port, questions, connections=8, seconds=120, most=len(questions))
    assert (len(tally.seconds), tally.wrong) == (len(questions), 0)


async def measure(
    stack: StackInfo, settings: Settings, client: Mapping[str, str], ceiling_port: int, count: int
) -> dict[str, dict[str, float]]:
    basic = basic_of(client)
    tokens = await mint(settings, client["client_id"], count)
    gone = frozenset(tokens[: count // REVOKED_OF])
    print(f"{count} tokens were signed, {len(gone)} are being revoked", flush=True)
    await revoke(urlsplit(stack.command_url).port or 0, list(gone), basic)
    await asyncio.sleep(1)  # for the feed: how soon it knows is measured elsewhere
    spread = sorted(tokens, key=hash)
    live = [token for token in spread if token not in gone]
    targets = {
        "introspect_spread": [introspection(token, basic, is_revoked=token in gone) for token in spread],
        "introspect_hot": [introspection(live[0], basic, is_revoked=False)] * CONNECTIONS,
        "forward_auth": [forward_auth(token) for token in live],
        f"validate_{BATCH}": [
            batch(spread[first : first + BATCH], gone, tokens[len(gone)]) for first in range(0, count, BATCH)
        ],
    }
    port = urlsplit(stack.query_url).port or 0
    patience = max(120, count / 2000)
    spread_out = targets["introspect_spread"]
    cold = await blast(port, spread_out, connections=CONNECTIONS, seconds=patience, most=count)
    rows = {"introspect_cold": _row(cold)}
    print({"target": "introspect_cold", **rows["introspect_cold"]}, flush=True)
    query = query_process(stack)
    fixed = introspection(live[0], basic, is_revoked=False)
    for name, questions in targets.items():
        rows[name] = await _in_turn(port, questions, ceiling_port, fixed, query)
        print({"target": name, **rows[name]}, flush=True)
    clients = await measure_grpc(stack, spread, gone, tokens[len(gone)], SECONDS)
    clients |= await measure_sdk(stack.query_url, client, spread, gone)
    for name, row in clients.items():
        print({"target": name, **row}, flush=True)
    return rows | clients


async def _in_turn(
    port: int, questions: Sequence[Question], ceiling_port: int, fixed: Question, query: int
) -> dict[str, float]:
    """Median of some rounds, in each of which the ceiling is measured right after what is measured."""
    rows, ratios = [], []
    meter = CpuMeter({"query": query})
    for _ in range(ROUNDS):
        await blast(port, questions, connections=CONNECTIONS, seconds=WARM_UP)
        meter.used()
        tally = await blast(port, questions, connections=CONNECTIONS, seconds=SECONDS)
        cpu = meter.used()["query"]
        ceiling = await blast(ceiling_port, [fixed] * CONNECTIONS, connections=CONNECTIONS, seconds=SECONDS)
        ratios.append(tally.per_second / ceiling.per_second)
        rows.append(
            {
                **_row(tally),
                "cpu_seconds_per_1000": round(1000 * cpu / len(tally.seconds), 4),
                "ceiling_rps": round(ceiling.per_second, 1),
                "rss_mb": round(resident_bytes(query) / 1e6, 1),
            }
        )
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    wrong = sum(row["wrong_answers"] for row in rows)
    return {**middle, "wrong_answers": wrong, "ratio_to_ceiling": round(statistics.median(ratios), 3)}


def _row(tally: Tally) -> dict[str, float]:
    if tally.wrong:
        print(f"a wrong answer: {tally.sample!r}", flush=True)
    return {
        "rps": round(tally.per_second, 1),
        "p50_ms": round(tally.quantile_ms(0.5), 2),
        "p99_ms": round(tally.quantile_ms(0.99), 2),
        "wrong_answers": tally.wrong,
    }


def _shown(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, row in rows:
        print({"target": name, **row}, flush=True)
        found[name] = row
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--targets", choices=("own", "all"), default="own", help="all: other servers too")
    parser.add_argument("--peers", type=Path, default=Path("../shared/peers"), help="where their scripts are")
    arguments = parser.parse_args()
    collect_seldom()
    ports = free_port_variables()
    more: Mapping[str, str] = {"CHANCERY_ACCESS_TOKEN_SECONDS": "3600", **ports}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stack = start_stack(home, {**os.environ, **more}, lifetime="caller")
        try:
            os.environ.update({**more, **stack.settings})
            settings = load_settings()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                client = runner.run(register_client(settings, "bench", ("chancery.introspect",), ()))
                with fixed_answer() as ceiling:
                    rows = runner.run(measure(stack, settings, client, ceiling, arguments.tokens))
            if arguments.targets == "all":
                rows |= _shown(measure_chancery(arguments.peers, stack, client))
        finally:
            stop_stack(home)
    if arguments.targets == "all":
        rows |= _shown(measure_peers(arguments.peers))
    found = {**rows, "load_at_start": round(load, 2)}
    print(json.dumps(found) if arguments.json else found)


if __name__ == "__main__":
    main()
