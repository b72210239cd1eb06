"""The lists of what remains to be done: nothing is forgotten, and what was opened anew stays open."""

from dataclasses import replace
from datetime import timedelta

from domain.errands import AGGREGATE, CloseErrand, Errand, OpenErrand, due
from events.account import EmailVerified
from events.errand import ErrandClosed, ErrandOpened
from events.streams import errands_stream, partition_of
from tests.support.examples import NOON
from tests.support.scenario import given

ERRAND = Errand(task="release", account_id="a", identifier="identifier-aa", claim_id="e1", due_at=NOON)
OPENED = ErrandOpened(
    errand_id="release:e1",
    task="release",
    account_id="a",
    identifier="identifier-aa",
    claim_id="e1",
    due_at=NOON,
)
CLOSED = ErrandClosed(errand_id="release:e1")


def test_an_errand_is_opened_and_closed_once() -> None:
    given(AGGREGATE).when(OpenErrand(errand=ERRAND)).then(OPENED)
    given(AGGREGATE, OPENED).when(OpenErrand(errand=ERRAND)).then_nothing()
    given(AGGREGATE, OPENED).when(CloseErrand(errand=ERRAND)).then(CLOSED)
    given(AGGREGATE, OPENED, CLOSED).when(CloseErrand(errand=ERRAND)).then_nothing()


def test_an_errand_that_was_opened_anew_is_not_closed_with_the_one_before() -> None:
    later = replace(ERRAND, due_at=NOON + timedelta(seconds=1))
    given(AGGREGATE, OPENED).when(OpenErrand(errand=later)).then(replace(OPENED, due_at=later.due_at))
    given(AGGREGATE, OPENED, replace(OPENED, due_at=later.due_at)).when(
        CloseErrand(errand=ERRAND)
    ).then_nothing()


def test_an_errand_is_due_from_its_time_on() -> None:
    state = given(AGGREGATE, OPENED).state
    assert due(state, NOON) == (ERRAND,)
    assert due(state, NOON - timedelta(microseconds=1)) == ()


def test_other_facts_change_nothing_and_every_partition_has_its_list() -> None:
    state = given(AGGREGATE, OPENED).state
    assert AGGREGATE.evolve(state, EmailVerified(challenge_id="c")) == state
    assert [partition_of(errands_stream(n), 8) for n in range(8)] == list(range(8))
