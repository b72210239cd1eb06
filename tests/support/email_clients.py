"""Clients that fight over a few addresses: sign up, sign in, change, undo, close. They write down what they see."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support import email_set as said
from tests.support.chancery import PASSWORD, bearer, new_email
from tests.support.history import Command, History, Line
from tests.support.letters import Letters
from tests.support.linearizability import Operation

MAIL_SECONDS = 1.0
STEPS = 3
LOOKS = 2
GIVES_UP = 0.3
"""How often a client that got no answer turns to something else; what it asked is settled at the end."""


@dataclass(slots=True, kw_only=True)
class Own:
    """The account that a client has now, as far as it knows: `changes` are (change, address), oldest first."""

    account_id: str
    email: str
    first_email: str
    changes: list[tuple[str, str]] = field(default_factory=list)
    undo_code: str | None = None
    headers: dict[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class Contest:
    """One small set of addresses and those who want them. `asked` says what each key was about."""

    history: History
    letters: Letters
    chance: random.Random
    addresses: Sequence[str] = field(default_factory=lambda: [new_email() for _ in range(8)])
    taken: set[str] = field(default_factory=set)
    """What somebody saw taken: most changes go to other addresses, some to these."""
    asked: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    wanted: Counter[str] = field(default_factory=Counter)
    """How many asked to change to an address. With two, one may have read the other's mail there."""

    async def live(self, client: int) -> None:
        """A few steps of one client, one after the other."""
        own: Own | None = None
        for _ in range(STEPS):
            if own is None or self.chance.random() < 0.1:
                own = await self._sign_up(client, self._wish(self.addresses, 0.5)) or own
                continue
            step = self.chance.choice(
                [self._look, self._change, self._undo if own.undo_code else self._change]
            )
            if not await step(client, own):
                own = None
        if own is not None and self.chance.random() < 0.3:
            await self._close(client, own)

    async def finish(self) -> None:
        """At the end: settle what is open, then see who signs in at some addresses, and whether one is free."""
        await self.history.settle(sample=1)
        looks = [self._sign_in_command(0, email) for email in self.chance.sample(self.addresses, LOOKS)]
        await asyncio.gather(*(self.history.ask(look) for look in looks))
        await self.history.ask(self._sign_up_command(0, self.chance.choice(self.addresses)))

    async def _ask(self, command: Command) -> httpx.Response | None:
        """Until an answer is known, or until the client has had enough."""
        while True:
            side = self.chance.choice(self.history.sides)
            answer = await self.history.attempt(command, side)
            if self.history.lines[-1].outcome != "unknown":
                return answer
            if self.chance.random() < GIVES_UP:
                return None
            await self.history.pause()

    def _sign_up_command(self, client: int, email: str) -> Command:
        body = {"email": email, "password": PASSWORD}
        command = Command(
            method="POST",
            path="/v1/accounts",
            effect="account.registered",
            request={"json": body},
            client=client,
        )
        self.asked[command.key] = ("sign-up", {"email": email})
        return command

    def _sign_in_command(self, client: int, email: str) -> Command:
        body = {"email": email, "password": PASSWORD}
        command = Command(
            method="POST",
            path="/v1/sessions",
            effect="session.started",
            request={"json": body},
            client=client,
        )
        self.asked[command.key] = ("sign-in", {"email": email})
        return command

    async def _sign_up(self, client: int, email: str) -> Own | None:
        answer = await self._ask(self._sign_up_command(client, email))
        if answer is not None:
            self.taken.add(email)
        if answer is None or answer.status_code != 201:
            return None
        return Own(account_id=answer.json()["account_id"], email=email, first_email=email)

    def _wish(self, addresses: Sequence[str], share: float) -> str:
        """One of these; in that share of the cases one that nobody saw taken."""
        free = [one for one in addresses if one not in self.taken]
        return self.chance.choice(free if free and self.chance.random() < share else addresses)

    async def _look(self, client: int, _: Own) -> bool:
        await self._ask(self._sign_in_command(client, self.chance.choice(self.addresses)))
        return True

    async def _headers(self, client: int, own: Own) -> dict[str, str] | None:
        if own.headers is not None:
            return own.headers
        answer = await self._ask(self._sign_in_command(client, own.email))
        if answer is None or answer.status_code != 201 or answer.json()["account_id"] != own.account_id:
            return None
        own.headers = bearer(answer.json()["access_token"])
        return own.headers

    async def _change(self, client: int, own: Own) -> bool:
        headers = await self._headers(client, own)
        if headers is None:
            return False
        email = self._wish([one for one in self.addresses if one != own.email], 0.8)
        before = len(self.letters.to(email))
        self.wanted[email] += 1
        body = {"new_email": email, "password": PASSWORD}
        request = Command(
            method="POST",
            path="/v1/me/email-changes",
            effect="",
            request={"json": body, "headers": headers},
            client=client,
        )
        if await self._ask(request) is None:
            return False
        code = await self.letters.code(email, after=before, within_seconds=MAIL_SECONDS)
        if code is None or code.startswith("cuc_"):
            return True
        return await self._confirm(client, own, email, code, headers)

    async def _confirm(self, client: int, own: Own, email: str, code: str, headers: dict[str, str]) -> bool:
        before = len(self.letters.to(own.email))
        command = Command(
            method="POST",
            path="/v1/me/email-changes/confirm",
            effect="email.changed",
            request={"json": {"code": code}, "headers": headers},
            client=client,
        )
        self.asked[command.key] = ("confirm", {"email": email, "account_id": own.account_id})
        answer = await self._ask(command)
        if answer is None:
            return False
        if answer.status_code == 204:
            code = await self.letters.code(own.email, after=before, within_seconds=MAIL_SECONDS) or ""
            own.undo_code = code if code.startswith("cuc_") else None
            own.changes.append((command.key, email))
            own.email = email
        return True

    async def _undo(self, client: int, own: Own) -> bool:
        assert own.undo_code is not None
        change_id, _ = own.changes[-1]
        command = Command(
            method="POST",
            path="/v1/email-changes/undo",
            effect="email_change.undone",
            request={"json": {"code": own.undo_code}},
            client=client,
        )
        given = {"account_id": own.account_id, "change_id": change_id, "released": own.changes[-1:]}
        self.asked[command.key] = ("undo", given)
        answer = await self._ask(command)
        own.undo_code = own.headers = None
        if answer is None or answer.status_code != 204:
            return False
        own.changes.pop()
        own.email = own.changes[-1][1] if own.changes else own.first_email
        return True

    async def _close(self, client: int, own: Own) -> None:
        headers = await self._headers(client, own)
        if headers is None:
            return
        command = Command(
            method="DELETE",
            path="/v1/me",
            effect="account.closed",
            request={"json": {"password": PASSWORD}, "headers": headers},
            client=client,
        )
        self.asked[command.key] = ("close", {"account_id": own.account_id})
        await self._ask(command)

    def operations(self) -> Iterator[Operation]:
        """What the model is told: each key as one operation, from its first attempt to its first known answer."""
        attempts: dict[str, list[Line]] = {}
        for line in self.history.lines:
            attempts.setdefault(line.key, []).append(line)
        for key, (kind, about) in self.asked.items():
            lines = attempts.get(key, [])
            known = [line for line in lines if line.outcome != "unknown"]
            if known:
                was_in_doubt = lines[0] is not known[0] or self.wanted[about.get("email", "")] > 1
                yield from _translated(kind, about, lines[0].invoked, known[0], was_in_doubt=was_in_doubt)


def _translated(
    kind: str, about: dict[str, Any], invoked: float, line: Line, *, was_in_doubt: bool
) -> Iterator[Operation]:
    def one(asked: Any, answer: Any = None, *, returned: float | None = line.returned) -> Operation:
        return Operation(client=line.client, asked=asked, answer=answer, invoked=invoked, returned=returned)

    told = httpx.Response(line.status, content=line.answer)
    match kind:
        case "sign-up":
            account_id = told.json()["account_id"] if line.status == 201 else ""
            yield one(said.SignUp(email=about["email"], account_id=account_id), line.status)
        case "sign-in":
            yield one(
                said.SignIn(email=about["email"]), told.json()["account_id"] if line.status == 201 else None
            )
        case "confirm":
            named = {"email": about["email"], "account_id": about["account_id"]}
            if line.status == 204:
                yield one(said.Hold(**named, change_id=line.key), answer=True)
                yield one(said.Move(**named, change_id=line.key))
            elif was_in_doubt:  # of the outcome, or of whose code it was
                yield one(said.Hold(**named, change_id=line.key), returned=None)
                yield one(said.Release(**named, claim_id=line.key), returned=None)
            elif line.status == 400:
                yield one(said.Hold(**named, change_id=line.key), answer=False)
        case "undo":
            asked = said.Undo(account_id=about["account_id"], change_id=about["change_id"])
            yield one(asked, line.status)
            for claim_id, email in about["released"]:
                release = said.Release(email=email, account_id=about["account_id"], claim_id=claim_id)
                yield one(release, returned=None)
        case _ if line.outcome == "ok":
            yield one(said.Close(account_id=about["account_id"]), answer=True)
