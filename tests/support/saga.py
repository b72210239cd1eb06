"""People with sessions and a wish for another address, on a log in memory; processes that die when told to."""

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from command_api.callers import Person
from command_api.calls import Call
from command_api.email_change import EmailChangeRules, EmailChanges
from command_api.errands import ErrandRunner
from command_api.executor import Executor
from command_api.password_proof import PasswordProof
from command_api.password_reset import CodeRules, PasswordResets
from domain.account_state import Active
from domain.errands import Errands
from domain.identifier import Identifier
from events.account import EmailVerified, PasswordResetRequested
from events.email_change import EmailChangeRequested
from events.identifier import IdentifierClaimed
from events.streams import ALPHABET, account_stream, errands_stream, new_id, slot_prefix, stream
from eventstore.memory_log import MemoryLog
from eventstore.writer import Writer
from runtime.codes import MailedCodes
from runtime.keys import derive_keys
from runtime.passwords import PasswordPool
from tests.support.examples import LOCK_OUT, started
from tests.support.memory_keys import KeyTopic
from tests.support.people import registered
from tests.support.scribe import Scribe
from tests.support.writers import new_log, new_writer, now

PARTITIONS = 4
KEYS = derive_keys(bytes(32))
CODES = MailedCodes(KEYS)
CODE_RULES = CodeRules(lifetime=timedelta(minutes=15), failures=10, mails=5)
RULES = EmailChangeRules(codes=CODE_RULES, lock_out=LOCK_OUT, undo=timedelta(days=7))


class DiedError(Exception):
    """The process is gone."""


class Mortal:
    """A writer whose process dies at its n-th chance: before a commit, or after one and before anybody hears."""

    def __init__(self, writer: Writer, dies_at: int) -> None:
        self._writer = writer
        self._chances = dies_at

    async def state(self, name: str) -> Any:
        return await self._writer.state(name)

    async def transact(self, name: str, decide: Any, origin: Any, *, deadline: float = math.inf) -> Any:
        self._live()
        done = await self._writer.transact(name, decide, origin, deadline=deadline)
        self._live()
        return done

    def _live(self) -> None:
        self._chances -= 1
        if self._chances < 0:
            raise DiedError


@dataclass(slots=True, kw_only=True)
class World:
    log: MemoryLog
    keys: KeyTopic
    passwords: PasswordPool
    scribe: Scribe
    people: list[str] = field(default_factory=list)
    identifiers: set[str] = field(default_factory=set)

    def writer(self) -> Writer:
        return new_writer(self.log, self.keys)

    async def person(self, slot: int, own: str | None = None) -> Person:
        """Somebody with a session, whose account and address live in this slot."""
        account_id = new_id(slot)
        own = own or address(slot)
        name = account_stream(account_id)
        at = now()
        facts: list[tuple[str, Any]] = [
            (own, IdentifierClaimed(account_id=account_id)),
            (name, replace(registered(account_id, at), identifier=own)),
            (name, EmailVerified(challenge_id="c")),
            (name, started(f"{account_id}-s", at)),
        ]
        await self.scribe.write_all(facts)
        self.people.append(account_id)
        self.identifiers.add(own)
        return Person(account_id=account_id, session_id=f"{account_id}-s")

    async def wish(self, person: Person, identifier: str) -> str:
        """A request for a change, before any writer lives; its id."""
        requested = change_requested(new_id(), identifier)
        await self.scribe.write(account_stream(person.account_id), requested)
        self.identifiers.add(identifier)
        return requested.change_id

    async def ask_reset(self, person: Person) -> str:
        asked = PasswordResetRequested(
            challenge_id=new_id(),
            code_expires_at=now() + CODE_RULES.lifetime,
            requested_at=now(),
            email="ada@example.com",
        )
        await self.scribe.write(account_stream(person.account_id), asked)
        return asked.challenge_id

    def changes(self, writer: Any, rules: EmailChangeRules = RULES) -> EmailChanges:
        writer = cast("Writer", writer)
        executor = Executor(writer, KEYS.request_key, now)
        proof = PasswordProof(executor, writer, self.passwords)
        return EmailChanges(executor, writer, proof, runner(writer), KEYS, rules)

    def resets(self, writer: Writer) -> PasswordResets:
        return PasswordResets(Executor(writer, KEYS.request_key, now), self.passwords, KEYS, CODE_RULES)

    async def tidy(self, rounds: int = 4) -> None:
        """Fresh processes look, an hour later, until nothing is due any more."""
        for _ in range(rounds):
            writer = self.writer()
            await writer.catch_up()
            await runner(writer, later=timedelta(hours=1)).run_due()

    async def check(self, *, is_tidy: bool) -> dict[str, str | None]:
        """Assert what must always hold, and when nothing is left to do; the holder of every address."""
        writer = self.writer()
        await writer.catch_up()
        accounts = {one: await writer.state(account_stream(one)) for one in self.people}
        held = {
            (one, claim.identifier, claim.claim_id)
            for one, state in accounts.items()
            for claim in state.addresses.held
        }
        states: dict[str, Identifier] = {name: await writer.state(name) for name in self.identifiers}
        claimed = {
            (state.holder, name, claim_id) for name, state in states.items() for claim_id in state.claims
        }
        assert held <= claimed, "an account has an address that nobody holds for it"
        if is_tidy:
            assert claimed == held, "a claim leaked"
            lists: list[Errands] = [await writer.state(errands_stream(n)) for n in range(PARTITIONS)]
            left = [errand.task for one in lists for errand in one.open.values()]
            assert set(left) <= {"end-hold"}
        return {name: state.holder for name, state in states.items()}

    async def account(self, person: Person) -> Active:
        writer = self.writer()
        await writer.catch_up()
        state = await writer.state(account_stream(person.account_id))
        assert isinstance(state, Active)
        return state


async def new_world(passwords: PasswordPool) -> World:
    log, keys = await new_log(PARTITIONS), KeyTopic()
    return World(log=log, keys=keys, passwords=passwords, scribe=Scribe(log, keys.keyring()))


def runner(writer: Writer, later: timedelta = timedelta(0)) -> ErrandRunner:
    return ErrandRunner(writer, lambda: datetime.now(UTC) + later, partitions=PARTITIONS)


def address(slot: int) -> str:
    """The stream of some address in this slot."""
    return stream("identifier", slot_prefix(slot) + new_id()[2:] + ALPHABET[0] * 26)


def change_requested(change_id: str, identifier: str) -> EmailChangeRequested:
    return EmailChangeRequested(
        change_id=change_id,
        identifier=identifier,
        code_expires_at=now() + CODE_RULES.lifetime,
        requested_at=now(),
        email="new@example.com",
    )


def call(key: str | None = None) -> Call:
    return Call(
        method="POST",
        path="/v1/me/email-changes/confirm",
        key=key,
        body=b"",
        trace="",
        ip=None,
        user_agent=None,
    )
