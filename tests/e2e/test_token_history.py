"""Any history of tokens, keys and faults: what a query process says of each token is what a few lines say, or 503."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from localstack.ports import free_port_variables
from localstack.stack import StackInfo, start_stack, stop_stack
from runtime.access_token import key_named_by
from tests.e2e.conftest import open_chancery
from tests.support.admins import token_of
from tests.support.chancery import Chancery, Person, bearer
from tests.support.gated import INTROSPECT, Gated, open_gated
from tests.support.soak import record, times
from tests.support.unlimited import UNLIMITED

SEEDS = 1
PEOPLE = 3
STALE_SECONDS = 5.0
"""The default of CHANCERY_REVOCATION_STALE_SECONDS: as long may a feed that hears nothing be believed."""
CALM_SECONDS = 1.0
"""In force everywhere after this, if nothing is wrong."""
ASKED_OF_EACH_STEP, ASKED_IN_A_FAULT = 8, 2
"""An answer takes seconds where a store must be waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """`lives_with`: a session, or for a machine client the token itself."""

    text: str
    person: str
    lives_with: str
    is_refresh: bool
    issued_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Model:
    """What is true. `over_since`: when its end was acknowledged, by session, or by the text of a token."""

    tokens: list[Token] = field(default_factory=list)
    over_since: dict[str, float] = field(default_factory=dict)

    def over(self, token: Token) -> float | None:
        ends = (self.over_since.get(token.lives_with), self.over_since.get(token.text))
        return min((end for end in ends if end is not None), default=None)

    def end(self, named: str) -> None:
        self.over_since.setdefault(named, time.monotonic())

    def live(self, *, is_refresh: bool) -> list[Token]:
        return [one for one in self.tokens if one.is_refresh == is_refresh and self.over(one) is None]


class History:
    def __init__(self, gated: Gated, admin: str, people: list[Person], chance: random.Random) -> None:
        self._gated, self._chancery = gated, gated.chancery
        self._admin, self._people, self._chance = admin, people, chance
        self._disabled: set[str] = set()
        self._calm_since = 0.0
        self.model = Model()
        self.answers = {"active": 0, "inactive": 0, "unknown": 0}
        self.faults = 0
        self.kids: set[str | None] = set()

    def steps(self) -> list[Callable[[], Awaitable[None]]]:
        """Each kind so often, in an order of chance; somebody signs in before and after all of it."""
        happens = {
            self.issue: 8, self._issue_to_a_client: 3, self._rotate: 5, self._sign_out: 4, self._revoke: 2,
            self._disable: 1, self.enable: 4, self._change_key: 2, self._lose_stores: 2, self.calm_down: 6,
        }  # fmt: skip
        steps = [work for work, count in happens.items() for _ in range(count)]
        self._chance.shuffle(steps)
        return [self.issue, self.issue, *steps]

    async def step(self, work: Callable[[], Awaitable[None]]) -> None:
        await work()
        most = ASKED_IN_A_FAULT if self._calm_since == float("inf") else ASKED_OF_EACH_STEP
        count = min(most, len(self.model.tokens))
        for token in self._chance.sample(self.model.tokens, count):
            await self.check(token)

    async def check(self, token: Token) -> None:
        began = time.monotonic()
        bound = CALM_SECONDS if began - self._calm_since > STALE_SECONDS else STALE_SECONDS + CALM_SECONDS
        over = self.model.over(token)
        answer = await self._chancery.query(
            *INTROSPECT, auth=self._chancery.basic, data={"token": token.text}
        )
        if answer.status_code == 503:
            assert bound > CALM_SECONDS, f"nothing is wrong, and nobody knows: {answer.text}"
            self.answers["unknown"] += 1
        elif answer.json()["active"]:
            assert over is None or began - over <= bound, "it was over, and is active"
            self.answers["active"] += 1
        else:
            is_new = token.is_refresh and began - token.issued_at <= bound
            assert over is not None or is_new, "it is good, and inactive"
            self.answers["inactive"] += 1

    async def calm_down(self) -> None:
        if not (self._gated.valkey.is_open.is_set() and self._gated.postgres.is_open.is_set()):
            self._gated.valkey.open()
            self._gated.postgres.open()
            self._calm_since = time.monotonic()

    async def _lose_stores(self) -> None:
        for gate in self._chance.sample(
            [self._gated.valkey, self._gated.postgres], self._chance.randint(1, 2)
        ):
            gate.shut()
        self.faults += 1
        self._calm_since = float("inf")

    async def issue(self) -> None:
        person = self._chance.choice(self._people)
        answer = await self._chancery.sign_in(person.email)
        assert (answer.status_code == 201) == (person.email not in self._disabled), answer.text
        if answer.status_code == 201:
            self._take(answer.json(), person.email, answer.json()["session_id"])

    async def _issue_to_a_client(self) -> None:
        text = await token_of(self._chancery, dict(self._chancery.client))
        self._take({"access_token": text}, "", text)

    def _take(self, issued: dict[str, str], person: str, lives_with: str) -> None:
        self.kids.add(key_named_by(issued["access_token"]))
        for kind in ("access_token", "refresh_token"):
            if kind in issued:
                is_refresh = kind == "refresh_token"
                token = Token(text=issued[kind], person=person, lives_with=lives_with, is_refresh=is_refresh)
                self.model.tokens.append(token)

    async def _rotate(self) -> None:
        for token in self._one_of(self.model.live(is_refresh=True)):
            answer = await self._chancery.refresh(token.text)
            assert answer.status_code == 200, answer.text
            self.model.end(token.text)
            self._take(answer.json(), token.person, token.lives_with)

    async def _sign_out(self) -> None:
        live = self.model.live(is_refresh=False)
        for token in self._one_of([one for one in live if one.person]):
            path = f"/v1/sessions/{token.lives_with}"
            answer = await self._chancery.command("DELETE", path, headers=bearer(token.text))
            assert answer.status_code == 204, answer.text
            self.model.end(token.lives_with)

    async def _revoke(self) -> None:
        live = self.model.live(is_refresh=False)
        for token in self._one_of([one for one in live if not one.person]):
            answer = await self._chancery.command(
                "POST", "/oauth/revoke", auth=self._chancery.basic, data={"token": token.text}
            )
            assert answer.status_code == 200, answer.text
            self.model.end(token.text)

    async def _disable(self) -> None:
        person = self._chance.choice(self._people)
        await self._act(person, "disable")
        self._disabled.add(person.email)
        for token in self.model.tokens:
            if token.person == person.email:
                self.model.end(token.lives_with)

    async def enable(self) -> None:
        for person in [one for one in self._people if one.email in self._disabled]:
            await self._act(person, "enable")
            self._disabled.discard(person.email)

    async def _act(self, person: Person, verb: str) -> None:
        path = f"/v1/admin/accounts/{person.account_id}/{verb}"
        answer = await self._chancery.command("POST", path, headers=bearer(self._admin))
        assert answer.status_code == 204, answer.text

    async def _change_key(self) -> None:
        answer = await self._chancery.command(
            "POST", "/v1/admin/signing-keys/rotate", headers=bearer(self._admin)
        )
        assert answer.status_code == 200, answer.text

    def _one_of(self, tokens: list[Token]) -> list[Token]:
        return self._chance.sample(tokens, min(1, len(tokens)))


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    """Keys change here, which others' tests do not expect."""
    home = tmp_path_factory.mktemp("history")
    try:
        yield start_stack(home, {**os.environ, **UNLIMITED, **free_port_variables()}, lifetime="caller")
    finally:
        stop_stack(home)


@pytest.fixture(scope="module")
async def own(own_stack: StackInfo) -> AsyncIterator[Chancery]:
    async with open_chancery(own_stack) as opened:
        yield opened


@pytest.mark.parametrize("seed", range(SEEDS * times(1)))
async def test_every_answer_is_the_models_or_503(seed: int, own: Chancery) -> None:
    admin = await token_of(own, await own.new_client("chancery.admin,chancery.introspect"))
    people = [await own.new_person() for _ in range(PEOPLE)]
    async with open_gated(own) as gated:
        await asyncio.sleep(STALE_SECONDS + CALM_SECONDS)  # from here on nothing excuses a 503 but a fault
        history = History(gated, admin, people, random.Random(seed))
        for work in history.steps():
            await history.step(work)
        await history.calm_down()
        await asyncio.sleep(STALE_SECONDS + CALM_SECONDS)  # all that was acknowledged is in force
        await history.enable()
        await history.issue()
        for token in history.model.tokens:
            await history.check(token)
    assert min(history.answers["active"], history.answers["inactive"], history.faults) > 0
    assert len(history.kids) > 1
    ended = [one for one in history.model.tokens if one.lives_with in history.model.over_since]
    assert {(bool(one.person), one.is_refresh) for one in ended} >= {(True, False), (True, True)}
    trials = sum(history.answers.values())
    record("every answer is the model's or 503", trials, faults=history.faults, **history.answers)
