"""What may be used once is used once, sixteen at a time on three replicas that are killed and come back."""

import asyncio
import contextlib
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from tests.e2e.faults.conftest import judged
from tests.support.authenticator import Authenticator
from tests.support.authenticator_app import App
from tests.support.chancery import OTHER_PASSWORD, PASSWORD, Chancery, Person, bearer, new_email
from tests.support.history import Command, History
from tests.support.letters import Letters
from tests.support.linearizability import Operation, check
from tests.support.log_reading import read_log
from tests.support.refresh_family import REFRESH_FAMILY, REFUSED, Present
from tests.support.replicas import QUICK, RIVALS, Replica, fleet, kill_in_turn
from tests.support.soak import record, times
from tests.support.tasks import batched, running
from tests.support.wire import exchange, request_bytes

REPLICAS = 3
AT_ONCE = 16
FAMILIES = 10
ROUNDS = 300
CODES = 100
CODES_AT_ONCE = 5
MAIL_SECONDS = 20.0
OVERRUNS = 20
WRONG_PASSWORDS = 200
LIMIT = 10
CALM_SECONDS = 4.0
ORIGIN = "http://localhost:1"
"""Of no page that there is."""


@pytest.fixture(scope="module")
async def replicas(arena: Chancery) -> AsyncIterator[list[Replica]]:
    """Each decides everything itself, so that they race in the log and nowhere else."""
    async with fleet(arena, REPLICAS, QUICK, **RIVALS, CHANCERY_PASSKEY_ORIGINS=ORIGIN) as started:
        yield started


@pytest.fixture(scope="module")
async def partners(arena: Chancery) -> AsyncIterator[list[Replica]]:
    """They hand calls on to one another, as they do by default."""
    async with fleet(arena, REPLICAS, QUICK) as started:
        yield started


@pytest.fixture(scope="module")
def letters(arena: Chancery) -> Letters:
    return Letters(arena.home)


@dataclass(slots=True)
class Families:
    """Sessions whose refresh tokens are presented by many at once, and what each was told."""

    sides: Sequence[Chancery]
    told: list[Operation] = field(default_factory=list)

    async def present(self, person: Person, token: str, client: int) -> None:
        invoked, answer, returned = time.monotonic(), None, None
        with contextlib.suppress(httpx.TransportError):
            got = await self.sides[client % len(self.sides)].refresh(token)
            assert got.status_code in (200, 400, 503), got.text
            if got.status_code != 503:
                answer = got.json()["refresh_token"] if got.status_code == 200 else REFUSED
                returned = time.monotonic()
        asked = Present(person.tokens["session_id"], token)
        self.told.append(
            Operation(client=client, asked=asked, answer=answer, invoked=invoked, returned=returned)
        )
        if answer not in (None, REFUSED):
            person.tokens["refresh_token"] = answer

    async def all_present(self, person: Person, *tokens: str) -> None:
        await asyncio.gather(
            *(self.present(person, tokens[client % len(tokens)], client) for client in range(AT_ONCE))
        )

    def history(self) -> list[Operation]:
        """What nobody answered may have handed out what others were told that follows the same token."""
        following = {one.asked.token: one.answer for one in self.told if one.answer not in (None, REFUSED)}
        return [
            replace(one, asked=replace(one.asked, successor=following.get(one.asked.token, "nobody saw it")))
            for one in self.told
        ]


@pytest.mark.timeout(300 * times(1))
async def test_a_refresh_token_has_one_successor_and_an_older_one_kills_the_session(
    arena: Chancery, replicas: list[Replica]
) -> None:
    families = Families([replica.chancery for replica in replicas])
    people = await asyncio.gather(*(arena.new_person() for _ in range(FAMILIES)))

    async def rounds(person: Person) -> None:
        first = person.tokens["refresh_token"]
        for _ in range(times(ROUNDS) // FAMILIES - 2):
            await families.all_present(person, person.tokens["refresh_token"])
        await families.all_present(person, first, person.tokens["refresh_token"])
        await families.all_present(person, person.tokens["refresh_token"])

    async with running(kill_in_turn(replicas, random.Random(), calm_seconds=CALM_SECONDS)):
        await asyncio.gather(*(rounds(person) for person in people))
    for replica in replicas:
        await replica.until_ready()
    verdict = check(REFRESH_FAMILY, families.history())
    assert verdict.is_linearizable, str(verdict)
    for person in people:
        assert (await arena.refresh(person.tokens["refresh_token"])).status_code == 400
    doubtful = sum(one.returned is None for one in families.told)
    kills = sum(one.deaths for one in replicas)
    record("refresh single use", times(ROUNDS), unanswered=doubtful, kills=kills)
    await judged(arena)


@dataclass(frozen=True, slots=True)
class Code:
    """Where a code is presented, and the fact that follows."""

    path: str
    effect: str
    request: dict[str, Any]


Prepare = Callable[[History, Letters], Awaitable[list[Code]]]


async def ask(history: History, path: str, body: object, **headers: str) -> dict[str, Any]:
    request = {"json": body, "headers": headers}
    answer = await history.ask(Command(method="POST", path=path, effect="", request=request))
    assert answer.is_success, answer.text
    return dict(answer.json()) if answer.content else {}


async def sign_up_code(history: History, letters: Letters) -> list[Code]:
    email = new_email()
    await ask(history, "/v1/accounts", {"email": email, "password": PASSWORD})
    code = await letters.code(email, within_seconds=MAIL_SECONDS)
    body = {"email": email, "code": code}
    return [Code("/v1/email-verifications", "account.email_verified", {"json": body})]


async def person_at(history: History, letters: Letters) -> tuple[str, dict[str, str]]:
    """The address of somebody new, and the headers of their session."""
    (code,) = await sign_up_code(history, letters)
    proof = code.request["json"]
    await ask(history, "/v1/email-verifications", proof)
    tokens = await ask(history, "/v1/sessions", {"email": proof["email"], "password": PASSWORD})
    return proof["email"], bearer(tokens["access_token"])


async def reset_code(history: History, letters: Letters) -> list[Code]:
    email, _ = await person_at(history, letters)
    await ask(history, "/v1/password-resets", {"email": email})
    code = await letters.code(email, after=1, within_seconds=MAIL_SECONDS)
    body = {"email": email, "code": code, "new_password": OTHER_PASSWORD}
    return [Code("/v1/password-resets/confirm", "password.reset", {"json": body})]


async def change_code(history: History, letters: Letters) -> list[Code]:
    (_, headers), email = await person_at(history, letters), new_email()
    body = {"new_email": email, "password": PASSWORD}
    await ask(history, "/v1/me/email-changes", body, **headers)
    code = await letters.code(email, within_seconds=MAIL_SECONDS)
    request = {"json": {"code": code}, "headers": headers}
    return [Code("/v1/me/email-changes/confirm", "email.changed", request)]


async def undo_code(history: History, letters: Letters) -> list[Code]:
    (old, headers), email = await person_at(history, letters), new_email()
    body = {"new_email": email, "password": PASSWORD}
    await ask(history, "/v1/me/email-changes", body, **headers)
    code = await letters.code(email, within_seconds=MAIL_SECONDS)
    await ask(history, "/v1/me/email-changes/confirm", {"code": code}, **headers)
    code = await letters.code(old, after=1, within_seconds=MAIL_SECONDS)
    return [Code("/v1/email-changes/undo", "email_change.undone", {"json": {"code": code}})]


async def factors(history: History, letters: Letters) -> list[Code]:
    """A code of an authenticator app, a recovery code and a passkey of one account."""
    email, headers = await person_at(history, letters)
    app, own = App(secret=""), Authenticator(origin=ORIGIN)
    app.secret = (await ask(history, "/v1/me/factors/totp", None, **headers))["secret"]
    proof = {"code": app.next_code()}
    enrolled = await ask(history, "/v1/me/factors/totp/confirm", proof, **headers)
    registration = own.create(await ask(history, "/v1/me/passkeys/options", None, **headers))
    await ask(history, "/v1/me/passkeys", registration, **headers)
    sign_in = {"email": email, "password": PASSWORD}
    first, second = [(await ask(history, "/v1/sessions", sign_in))["challenge"] for _ in range(2)]
    assertion = own.get(await ask(history, "/v1/passkey-sessions/options", None))
    recovery = {"challenge": second, "recovery_code": enrolled["recovery_codes"][0]}
    step = "/v1/sessions/challenge"
    return [
        Code(step, "totp.accepted", {"json": {"challenge": first, "totp": app.next_code()}}),
        Code(step, "recovery_code.accepted", {"json": recovery}),
        Code("/v1/passkey-sessions", "passkey.accepted", {"json": assertion}),
    ]


@pytest.mark.parametrize("prepare", [sign_up_code, reset_code, change_code, undo_code, factors])
@pytest.mark.timeout(300 * times(1))
async def test_a_code_that_is_presented_sixteen_times_at_once_works_once(
    arena: Chancery, replicas: list[Replica], letters: Letters, prepare: Prepare
) -> None:
    sides = [replica.chancery for replica in replicas]
    history, effects = History(sides=sides), Counter[tuple[str, str]]()

    async def present(code: Code) -> tuple[str, str]:
        """The trace that all sixteen share, and the fact of which it must hold one."""
        trace = secrets.token_hex(16)
        headers = {**code.request.get("headers", {}), "traceparent": f"00-{trace}-{'1' * 16}-01"}
        request = {**code.request, "headers": headers}
        answers = await asyncio.gather(
            *(sides[n % REPLICAS].command("POST", code.path, **request) for n in range(AT_ONCE))
        )
        statuses = Counter(answer.status_code for answer in answers)
        successes = statuses[200] + statuses[201] + statuses[204]
        assert successes == 1 or (successes == 0 and statuses[503]), statuses
        assert set(statuses) <= {200, 201, 204, 400, 401, 503}, statuses
        return trace, code.effect

    async def present_all() -> list[tuple[str, str]]:
        return [await present(code) for code in await prepare(history, letters)]

    presented: list[tuple[str, str]] = []
    for some in batched(range(times(CODES)), CODES_AT_ONCE):
        for told in await asyncio.gather(*(present_all() for _ in some)):
            presented += told
    for counted in (await read_log(arena.settings)).values():
        trace = counted.commit.trace.partition("-")[2].partition("-")[0]
        effects.update((trace, kind) for kind in {event.type for event in counted.commit.events})
    assert [effects[one] for one in presented] == [1] * len(presented)
    record(f"one-time {prepare.__name__}", len(presented))
    await judged(arena, history)


@pytest.mark.timeout(300 * times(1))
async def test_no_more_wrong_passwords_are_evaluated_than_the_limit_allows(
    arena: Chancery, partners: list[Replica]
) -> None:
    people = await asyncio.gather(*(arena.new_person() for _ in range(times(OVERRUNS))))
    answered: Counter[int] = Counter()
    urls = [replica.chancery.command_url for replica in partners]

    async def guess(email: str, number: int) -> int:
        body = {"email": email, "password": f"{OTHER_PASSWORD} {number}"}
        answer = await exchange(urls[number % REPLICAS], request_bytes("POST", "/v1/sessions", body))
        return answer.status

    for person in people:
        guesses = (guess(person.email, number) for number in range(WRONG_PASSWORDS))
        answered.update(await asyncio.gather(*guesses))
    for person in people:
        assert (await arena.sign_in(person.email)).status_code == 401
    assert set(answered) <= {401, 503}, answered
    evaluated: Counter[str] = Counter()
    for counted in (await read_log(arena.settings)).values():
        for event in counted.commit.events:
            if event.type == "sign_in.failed" and event.data["cause"] == "wrong-password":
                evaluated[event.stream] += 1
    streams = [f"account-{person.account_id}" for person in people]
    assert [evaluated[stream] for stream in streams] == [LIMIT] * len(people)
    record("limit overrun", len(people), refused=answered[401], shed=answered[503])
