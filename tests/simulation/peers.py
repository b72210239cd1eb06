"""How one replica knows and reaches the others: views that may be wrong, and a network that loses things."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from command_api.replicas import Replica as Peer
from runtime.serving.forwarded import NoAnswerError, NotSentError
from tests.simulation.network import LostError, RefusedError

if TYPE_CHECKING:
    from command_api.calls import Call
    from runtime.serving.answers import HttpAnswer
    from tests.simulation.world import World

_AVOID_SECONDS = 0.3
_WRONG_VIEWS = 0.1


class Peers:
    """The preferences and the channel of the replica at `place`."""

    def __init__(self, world: World, place: int) -> None:
        self._world = world
        self._place = place
        self._avoid_until: dict[Peer, float] = {}

    def preferred(self, partition: int) -> Peer | None:
        """The same for all, most of the time."""
        chance, places = self._world.chance, len(self._world.replicas)
        place = chance.randrange(places) if chance.random() < _WRONG_VIEWS else partition % places
        peer = Peer(str(place), f"sim://{place}")
        if place == self._place or self._world.loop.time() < self._avoid_until.get(peer, 0.0):
            return None
        return peer

    def avoid(self, replica: Peer) -> None:
        self._avoid_until[replica] = self._world.loop.time() + _AVOID_SECONDS

    async def send(self, replica: Peer, call: Call, seconds: float) -> HttpAnswer:
        world = self._world
        there = world.replicas[int(replica.id)]
        try:
            async with asyncio.timeout(seconds):
                return await world.network.ask(there, lambda: world.serve_forwarded(there, call, seconds))
        except RefusedError as error:
            raise NotSentError(str(error)) from None
        except (LostError, TimeoutError) as error:
            raise NoAnswerError(str(error)) from None
