"""A call goes to the process that its partition prefers, one hop, and is decided here if that cannot be had.

Many processes that write one partition at once void one another's records; one that gets all of them does not.
Nothing hangs on it but speed.
"""

import asyncio
from dataclasses import replace
from typing import Protocol

from command_api.calls import Call, signed_request
from command_api.replicas import Replica
from events.streams import partition_of
from eventstore.errors import OutcomeUnknownError
from runtime.serving.answers import AnswerError, HttpAnswer
from runtime.serving.forwarded import NoAnswerError, NotSentError, Sender

OTHERS_SHARE = 0.5
"""Of the time that is left, where a call can still be decided here if the other process does not answer."""


class Channel(Protocol):
    async def send(self, replica: Replica, call: Call, seconds: float) -> HttpAnswer:
        """What the replica answers. NotSentError if it has not got the call, NoAnswerError if nobody knows."""
        ...


class Preferences(Protocol):
    def preferred(self, partition: int) -> Replica | None: ...
    def avoid(self, replica: Replica) -> None: ...


class Forwarding:
    def __init__(self, replicas: Preferences, channel: Channel, *, partitions: int) -> None:
        self._replicas = replicas
        self._channel = channel
        self._partitions = partitions

    async def settle(self, call: Call, stream: str) -> Call:
        """The call, to be decided here; or AnswerError with what the preferred process answered.

        A call that was forwarded, or settled before, stays: there is never a second hop. So does one that somebody
        may have: what a third process says of it would not be the whole truth. Nor is one that is out of time handed on.
        """
        if call.stays:
            return call
        replica = None
        if not call.doubt.exists and call.deadline > asyncio.get_running_loop().time():
            replica = self._replicas.preferred(partition_of(stream, self._partitions))
        if replica is not None:
            answer = await self._ask(replica, call)
            if answer is not None:
                raise AnswerError(answer)
        return replace(call, stays=True)

    async def _ask(self, replica: Replica, call: Call) -> HttpAnswer | None:
        """None if the call may be decided here as well: it is not there, or its key makes it happen once."""
        left = call.deadline - asyncio.get_running_loop().time()
        try:
            return await self._channel.send(replica, call, left * (OTHERS_SHARE if call.key else 1))
        except NotSentError:
            self._replicas.avoid(replica)
            return None
        except NoAnswerError:
            self._replicas.avoid(replica)
            if call.key is None:
                raise OutcomeUnknownError(
                    "the process that the call was forwarded to did not answer"
                ) from None
            call.doubt.exists = True
            return None


class Alone:
    """A process that forwards nothing."""

    async def settle(self, call: Call, stream: str) -> Call:
        del stream
        return call


class PeerChannel:
    """Calls as signed requests to the replica's own address."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def send(self, replica: Replica, call: Call, seconds: float) -> HttpAnswer:
        request = replace(signed_request(call), seconds=seconds)
        return await self._sender.send(replica.url, request)
