"""One process of the write side: the real writer, executor, sagas and errands, on simulated stores."""

import asyncio
import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from command_api.calls import Call
from command_api.email_change import EmailChanges
from command_api.errands import ErrandRunner
from command_api.executor import ALONE, Executor, Settles
from command_api.password_proof import PasswordProof
from domain.aggregates import AGGREGATES
from eventstore.errors import TryAgainError
from eventstore.key_encryption import LocalKeyEncryption
from eventstore.key_index import MemoryKeyIndex
from eventstore.keyring import Keyring
from eventstore.memory_log import MemoryLog
from eventstore.snapshots import Snapshots
from eventstore.writer import Limits, Stores, Writer
from tests.simulation.log import SimulatedLog
from tests.simulation.loop import Process
from tests.simulation.stores import SimulatedKeyStore, SimulatedSnapshots
from tests.simulation.template import BEGINNING
from tests.simulation.wire import Sky
from tests.support.memory_keys import KEY_ENCRYPTION_KEY, KeyTopic
from tests.support.saga import KEYS, RULES

_ENCRYPTION = LocalKeyEncryption(KEY_ENCRYPTION_KEY)
_NO_PASSWORDS: Any = None
"""Nobody proves a password here: hashing has threads of its own."""


class Shelf:
    """What outlives every process."""

    def __init__(self, log: MemoryLog, snapshots: Snapshots, topic: KeyTopic) -> None:
        self.log = log
        self.snapshots = snapshots
        self.topic = topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """`skew` is how far its clock is off; `undo` how long an e-mail change can be undone."""

    limits: Limits
    skew: timedelta
    undo: timedelta


class Fellows:
    """Who else there is; nobody as long as nothing is set."""

    def __init__(self) -> None:
        self.forwarding: Settles = ALONE

    async def settle(self, call: Call, stream: str) -> Call:
        return await self.forwarding.settle(call, stream)


class Replica:
    def __init__(self, process: Process, shelf: Shelf, sky: Sky, character: Character) -> None:
        self.process = process
        self.skew = character.skew
        self._loop = sky.loop
        self.log = SimulatedLog(shelf.log, sky)
        keyring = Keyring(SimulatedKeyStore(shelf.topic, sky), _ENCRYPTION, MemoryKeyIndex())
        stores = Stores(log=self.log, keyring=keyring, snapshots=SimulatedSnapshots(shelf.snapshots, sky))
        self.writer = Writer(stores, AGGREGATES, self.clock, character.limits)
        self.fellows = Fellows()
        self.executor = Executor(self.writer, KEYS.request_key, self.clock, self.fellows)
        self.errands = ErrandRunner(self.writer, self.clock, partitions=self.writer.partitions)
        proof = PasswordProof(self.executor, self.writer, _NO_PASSWORDS)
        rules = replace(RULES, undo=character.undo)
        self.changes = EmailChanges(self.executor, self.writer, proof, self.errands, KEYS, rules)

    def clock(self) -> datetime:
        """This replica's idea of the time."""
        return BEGINNING + self.skew + timedelta(seconds=self._loop.time())

    async def keep_saved(self, chance: random.Random, mean_seconds: float) -> None:
        while True:
            await asyncio.sleep(chance.random() * 2 * mean_seconds)
            await self.save()

    async def save(self) -> bool:
        try:
            await self.writer.save()
        except TryAgainError:
            return False
        return True

    async def run_errands(self, mean_seconds: float) -> None:
        while True:
            await asyncio.sleep(mean_seconds)
            await self.errands.run_due()
