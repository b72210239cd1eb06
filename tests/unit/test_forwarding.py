"""Which process decides a call, and what happens if it cannot be had."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from command_api.calls import Call
from command_api.forwarding import OTHERS_SHARE, Forwarding
from command_api.replicas import Replica, parse_replica, preferred_of
from eventstore.errors import OutcomeUnknownError, UnavailableError
from runtime.serving.answers import AnswerError, HttpAnswer
from runtime.serving.forwarded import NoAnswerError, NotSentError
from tests.support.saga import call
from tests.support.writers import ACCOUNT

REPLICAS = [Replica(f"replica-{number}", f"http://127.0.0.1:{number}") for number in range(5)]
OTHER = REPLICAS[0]
SECONDS = 2.0


@dataclass(slots=True)
class Network:
    """Everybody prefers OTHER, who answers, does not take, or stays silent."""

    fate: HttpAnswer | type[Exception]
    preferred_replica: Replica | None = OTHER
    asked: list[tuple[Replica, Call, float]] = field(default_factory=list)
    avoided: list[Replica] = field(default_factory=list)

    def preferred(self, partition: int) -> Replica | None:
        assert partition in range(8)
        return self.preferred_replica

    def avoid(self, replica: Replica) -> None:
        self.avoided.append(replica)

    async def send(self, replica: Replica, asked: Call, seconds: float) -> HttpAnswer:
        self.asked.append((replica, asked, seconds))
        if isinstance(self.fate, HttpAnswer):
            return self.fate
        raise self.fate

    async def settle(self, asked: Call) -> Call:
        return await Forwarding(self, self, partitions=8).settle(asked, ACCOUNT)


def timely(key: str | None = None) -> Call:
    return replace(call(key), deadline=asyncio.get_running_loop().time() + SECONDS)


async def test_the_preferred_process_answers() -> None:
    network, asked = Network(HttpAnswer(status=204)), timely()
    with pytest.raises(AnswerError) as raised:
        await network.settle(asked)
    assert raised.value.answer == HttpAnswer(status=204)
    ((replica, sent, seconds),) = network.asked
    assert (replica, sent) == (OTHER, asked)
    assert SECONDS - 0.5 < seconds <= SECONDS


async def test_a_call_with_a_key_leaves_time_to_decide_it_here() -> None:
    network = Network(NoAnswerError)
    assert (await network.settle(timely("key"))).stays
    assert network.asked[0][2] <= OTHERS_SHARE * SECONDS
    assert network.avoided == [OTHER]


async def test_that_nothing_was_changed_is_said_only_if_nobody_else_had_the_call() -> None:
    nothing = UnavailableError("the log is down")
    asked = timely("key")
    assert asked.doubt.weighed(nothing) is nothing
    settled = await Network(NoAnswerError).settle(asked)
    assert isinstance(settled.doubt.weighed(nothing), OutcomeUnknownError)
    assert isinstance(asked.doubt.weighed(nothing), OutcomeUnknownError)
    untaken = await Network(NotSentError).settle(timely("key"))
    assert untaken.doubt.weighed(nothing) is nothing


async def test_a_call_that_somebody_may_have_goes_to_nobody_else() -> None:
    network, asked = Network(NoAnswerError), timely("key")
    await network.settle(asked)
    network.fate = HttpAnswer(status=503)
    assert (await network.settle(asked)).stays
    assert len(network.asked) == 1


async def test_a_call_that_is_out_of_time_is_handed_on_to_nobody() -> None:
    """Nobody is avoided for not answering what nobody could have answered."""
    network = Network(NotSentError)
    late = replace(timely(), deadline=asyncio.get_running_loop().time() - 1)
    assert (await network.settle(late)).stays
    assert (network.asked, network.avoided) == ([], [])


async def test_without_a_key_no_answer_is_an_unknown_outcome() -> None:
    network = Network(NoAnswerError)
    with pytest.raises(OutcomeUnknownError):
        await network.settle(timely())
    assert network.avoided == [OTHER]


@pytest.mark.parametrize("key", [None, "key"])
async def test_what_was_not_taken_is_decided_here(key: str | None) -> None:
    network = Network(NotSentError)
    assert (await network.settle(timely(key))).stays
    assert network.avoided == [OTHER]


async def test_there_is_no_second_hop() -> None:
    network = Network(HttpAnswer(status=204))
    stays = replace(timely(), stays=True)
    assert await network.settle(stays) == stays
    assert network.asked == []


async def test_a_call_that_was_settled_here_stays_here() -> None:
    network = Network(HttpAnswer(status=204), preferred_replica=None)
    settled = await network.settle(timely())
    network.preferred_replica = OTHER
    assert await network.settle(settled) == settled
    assert network.asked == []


def test_partitions_are_shared_about_evenly() -> None:
    shares = Counter(preferred_of(REPLICAS, partition) for partition in range(1000))
    assert set(shares) == set(REPLICAS)
    assert max(shares.values()) < 2 * min(shares.values())


def test_a_process_that_goes_moves_only_what_it_had() -> None:
    gone, *rest = REPLICAS
    for partition in range(1000):
        before = preferred_of(REPLICAS, partition)
        assert before == gone or preferred_of(rest, partition) == before


def test_the_order_in_which_processes_are_heard_of_does_not_matter() -> None:
    for partition in range(100):
        assert preferred_of(REPLICAS, partition) == preferred_of(REPLICAS[::-1], partition)


def test_a_replica_survives_its_rendering() -> None:
    assert parse_replica(OTHER.render()) == OTHER
