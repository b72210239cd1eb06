"""Those who ask about tokens and go away before they are answered: nobody hears what was meant for another (J7)."""

import asyncio
import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote_plus

from runtime.access_token import key_named_by
from tests.support.admins import token_of
from tests.support.chancery import Chancery
from tests.support.soak import record, times
from tests.support.wire import Answer, connected, read_answer

ASKERS = 16
TOKENS = 40
SEED = 20261128


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what its answer must hold: the token's own id, which no other answer holds."""

    request: bytes
    names: Callable[[Answer], list[str]]
    wanted: list[str]


def jti_of(token: str) -> str:
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])


def questions(token: str, others: list[str], basic: str, bearer: str) -> list[Question]:
    """On the short way, on the long way (a header more), and in a batch."""
    form, batch = f"token={token}", json.dumps({"tokens": [token, *others]})
    asking = f"authorization: {basic}\r\ncontent-type: application/x-www-form-urlencoded"
    many = f"authorization: Bearer {bearer}\r\ncontent-type: application/json"

    def named(answer: Answer) -> list[str]:
        assert answer.status == 200, answer.body
        found = json.loads(answer.body)
        return [one.get("jti", "") for one in found.get("results", [found])]

    def post(path: str, headers: str, body: str) -> bytes:
        lines = f"POST {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\ncontent-length: {len(body)}\r\n\r\n"
        return (lines + body).encode()

    own, all_of_them = [jti_of(token)], [jti_of(one) for one in (token, *others)]
    long_way = f"{asking}\r\nchancery-min-position: 0:0"
    return [
        Question(post("/oauth/introspect", asking, form), named, own),
        Question(post("/oauth/introspect", long_way, form), named, own),
        Question(post("/v1/tokens/validate", many, batch), named, all_of_them),
    ]


async def test_abuse_j7_no_answer_is_crossed_when_askers_vanish(chancery: Chancery) -> None:
    tokens = [await token_of(chancery, dict(chancery.client)) for _ in range(TOKENS)]
    assert all(key_named_by(token) for token in tokens)
    pair = ":".join(quote_plus(part) for part in chancery.basic)
    basic = "Basic " + base64.b64encode(pair.encode()).decode()
    chance = random.Random(SEED)
    asked = [
        one
        for token in tokens
        for one in questions(token, chance.sample(tokens, 3), basic, chance.choice(tokens))
    ]
    trials, left, crossed = times(6_000), 0, 0

    async def asker(chance: random.Random) -> None:
        """Some questions on a connection, and then none of the rest of their answers, nor of the last question."""
        nonlocal trials, left, crossed
        while trials > 0:
            some = [chance.choice(asked) for _ in range(chance.randint(1, 4))]
            trials -= len(some)
            heard = chance.randint(0, len(some))
            async with connected(chancery.query_url) as (reader, writer):
                whole = b"".join(one.request for one in some)
                cut = len(whole) if chance.random() < 0.5 else chance.randrange(len(whole))
                writer.write(whole if heard == len(some) else whole[:cut])
                fits = sum(len(one.request) for one in some[:heard]) <= cut or heard == len(some)
                for one in some[:heard] if fits else ():
                    crossed += one.names(await read_answer(reader)) != one.wanted
                left += heard < len(some) or not fits
                writer.transport.abort()

    await asyncio.gather(*(asker(random.Random(SEED + number)) for number in range(ASKERS)))
    assert crossed == 0
    assert left > 1_000
    assert (await chancery.introspect(tokens[0]))["jti"] == jti_of(tokens[0])
    record("no answer is crossed when askers vanish (J7)", times(6_000), vanished=left)
