"""Finishes or takes back what e-mail changes leave to be done in other partitions, whoever began them.

A change is: claim the new address (its partition) → change (the account's, one commit) → much later, give
the old address back. Whatever stands between two of these is an errand in the same commit as the first, so
any process can go on from the lists alone. Every step may be taken twice, late, and by several at once:
a claim that left an account never comes back to it, so giving it back is right for ever.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import assert_never

from domain.account_commands import AbandonEmailChange, EndHold
from domain.account_state import Absent, Account, Pending
from domain.addresses import Addresses, Held, find_hold, given_back
from domain.errands import CloseErrand, Errand, Errands, OpenErrand, due
from domain.identifier import Release
from events.streams import account_stream, errands_stream, slot_of
from eventstore.commit import Actor
from eventstore.writer import Draft, Origin, Writer
from runtime.clock import Clock
from runtime.logs import get_logger

LOOK_SECONDS = 1.0
_NAMESPACE = uuid.UUID("9a3c1f52-6d1e-4a53-9a0d-6a0e1c1f7b11")
_log = get_logger("errands")


class ErrandRunner:
    def __init__(self, writer: Writer, clock: Clock, *, partitions: int) -> None:
        self._writer = writer
        self._clock = clock
        self._partitions = partitions

    async def run(self, own_partitions: Callable[[], Sequence[int]]) -> None:
        """Until cancelled, in the partitions that are ours to look at. What fails is tried at the next look."""
        while True:
            await self.run_due(own_partitions())
            await asyncio.sleep(LOOK_SECONDS)

    async def run_due(self, partitions: Sequence[int] | None = None) -> None:
        """One look at the lists of some partitions, or of all, and one try at everything that is due."""
        for number in range(self._partitions) if partitions is None else partitions:
            for errand in await self._due(number):
                try:
                    await self.carry_out(errand)
                except Exception as error:  # noqa: BLE001  # one errand that fails must not stop the others
                    _log.warning(
                        "an errand will be tried again", task=errand.task, error=type(error).__name__
                    )

    async def carry_out(self, errand: Errand) -> None:
        match errand.task:
            case "settle-claim":
                await self._settle_claim(errand)
            case "end-hold":
                await self._end_hold(errand)
            case "release":
                await self._release(errand)
            case task:
                assert_never(task)

    async def _due(self, number: int) -> tuple[Errand, ...]:
        try:
            state: Errands = await self._writer.state(errands_stream(number))
        except Exception as error:  # noqa: BLE001  # as above
            _log.warning("a list of errands cannot be read", partition=number, error=type(error).__name__)
            return ()
        return due(state, self._clock())

    async def _settle_claim(self, errand: Errand) -> None:
        """A claim that brought its account no address within its time is given back, and the change with it."""
        account = account_stream(errand.account_id)

        def abandon(draft: Draft) -> bool:
            draft.decide(account, AbandonEmailChange(change_id=errand.claim_id, cause="interrupted"))
            addresses = addresses_of(draft.state(account))
            return addresses is not None and any(h.claim_id == errand.claim_id for h in addresses.held)

        stands = await self._transact(account, abandon, errand, "abandon")

        def settle(draft: Draft) -> None:
            if not stands:
                draft.decide(errand.identifier, _release_of(errand))
            self.close(draft, errand.identifier, errand)

        await self._transact(errand.identifier, settle, errand, "settle")

    async def _end_hold(self, errand: Errand) -> None:
        account = account_stream(errand.account_id)

        def end(draft: Draft) -> None:
            before = addresses_of(draft.state(account))
            draft.decide(account, EndHold(change_id=errand.claim_id, at=draft.at))
            after = addresses_of(draft.state(account))
            if before is not None and after is not None:
                self.open_releases(draft, errand.account_id, given_back(before, after))
            if after is None or find_hold(after, errand.claim_id) is None:
                self.close(draft, account, errand)

        await self._transact(account, end, errand, "end")

    async def _release(self, errand: Errand) -> None:
        account = account_stream(errand.account_id)

        def release(draft: Draft) -> None:
            draft.decide(errand.identifier, _release_of(errand))

        await self._transact(errand.identifier, release, errand, "release")
        await self._transact(account, lambda draft: self.close(draft, account, errand), errand, "released")

    def open(self, draft: Draft, beside: str, errand: Errand) -> None:
        """Leave an errand in the list of the partition where `beside` lives."""
        draft.decide(self._list_of(beside), OpenErrand(errand=errand))

    def open_releases(self, draft: Draft, account_id: str, given: Sequence[Held]) -> None:
        for held in given:
            errand = Errand(
                task="release",
                account_id=account_id,
                identifier=held.identifier,
                claim_id=held.claim_id,
                due_at=draft.at,
            )
            self.open(draft, account_stream(account_id), errand)

    def close(self, draft: Draft, beside: str, errand: Errand) -> None:
        draft.decide(self._list_of(beside), CloseErrand(errand=errand))

    def _list_of(self, beside: str) -> str:
        return errands_stream(slot_of(beside) % self._partitions)

    async def _transact(
        self, stream: str, decide: Callable[[Draft], bool | None], errand: Errand, step: str
    ) -> bool | None:
        """Each step of each errand has one commit id, whoever takes it."""
        name = f"{step} {errand.errand_id} {errand.due_at.isoformat()}"
        origin = Origin(actor=Actor(kind="system", id="errands"), commit_id=str(uuid.uuid5(_NAMESPACE, name)))
        return (await self._writer.transact(stream, decide, origin)).reply


def addresses_of(state: Account) -> Addresses | None:
    return None if isinstance(state, Absent | Pending) else state.addresses


def claim_errand(account_id: str, identifier: str, change_id: str, due_at: datetime) -> Errand:
    """What is left with a claim: unless its change is made by then, both are taken back."""
    return Errand(
        task="settle-claim",
        account_id=account_id,
        identifier=identifier,
        claim_id=change_id,
        due_at=due_at,
    )


def hold_errand(account_id: str, identifier: str, change_id: str, until: datetime) -> Errand:
    return Errand(
        task="end-hold", account_id=account_id, identifier=identifier, claim_id=change_id, due_at=until
    )


def _release_of(errand: Errand) -> Release:
    return Release(account_id=errand.account_id, claim_id=errand.claim_id)
