"""The checker itself: published verdicts both ways, an exhaustive check of small histories, unknown outcomes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.linearizability import Operation, UndecidedError, check
from tests.support.published import REGISTER, TEXTS, etcd_history, kv_history

GOOD_ETCD = ["002", "007", "025", "049", "075", "098", "102"]
BAD_ETCD = ["000", "001", "003", "010", "041", "066", "099"]


@pytest.mark.parametrize("number", GOOD_ETCD)
def test_a_history_that_was_published_as_good_is_linearizable(number: str) -> None:
    assert check(REGISTER, etcd_history(number)).is_linearizable


@pytest.mark.parametrize("number", BAD_ETCD)
def test_a_history_that_was_published_as_bad_is_not(number: str) -> None:
    assert not check(REGISTER, etcd_history(number)).is_linearizable


@pytest.mark.parametrize("name", ["c01-ok", "c01-bad", "c10-ok", "c10-bad"])
def test_published_histories_of_a_map_get_their_verdict_key_by_key(name: str) -> None:
    assert check(TEXTS, kv_history(name)).is_linearizable == name.endswith("ok")


def op(verb: str, value: str, invoked: float, returned: float | None, kind: str = "ok") -> Operation:
    answer = None if returned is None else (kind, value)
    return Operation(client=0, asked=(verb, value), answer=answer, invoked=invoked, returned=returned)


def test_an_unknown_write_may_take_effect_late_or_never_but_not_before_its_call() -> None:
    lost = op("write", "1", 2, None)
    before, after = op("read", "nil", 3, 4), op("read", "1", 5, 6)
    assert check(REGISTER, [lost, before]).is_linearizable
    assert check(REGISTER, [lost, before, after]).is_linearizable
    assert not check(REGISTER, [lost, op("read", "1", 0, 1)]).is_linearizable
    assert not check(REGISTER, [lost, before, after, op("read", "nil", 7, 8)]).is_linearizable


def test_a_verdict_shows_what_cannot_be_explained() -> None:
    history = [op("write", "1", 0, 1), op("read", "nil", 2, 3)]
    verdict = check(REGISTER, history)
    assert verdict.explained == (history[0],)
    assert str(verdict).splitlines()[2].startswith("!! ")
    assert str(check(REGISTER, history[:1])) == "linearizable"


def test_a_search_that_grows_without_bound_is_given_up_and_never_called_good() -> None:
    history = [op("write", str(number), 0, None) for number in range(20)]
    with pytest.raises(UndecidedError):
        check(REGISTER, [*history, op("read", "nobody's", 1, 2)], most=100)


@st.composite
def small_histories(draw: st.DrawFn) -> list[Operation]:
    times = draw(st.permutations(range(12)))
    history = []
    for place in range(draw(st.integers(1, 5))):
        first, last = sorted(times[2 * place : 2 * place + 2])
        is_known = draw(st.booleans()) or draw(st.booleans())
        verb = draw(st.sampled_from(["read", "write", "cas"]))
        value = draw(st.sampled_from(["1", "2", "nil"] if verb == "read" else ["1", "2"]))
        text = f"[{draw(st.sampled_from(['1', '2']))} {value}]" if verb == "cas" else value
        kind = draw(st.sampled_from(["ok", "fail"])) if verb == "cas" else "ok"
        history.append(op(verb, text, first, last if is_known else None, kind))
    return history


def has_an_order(history: list[Operation]) -> bool:
    """By trying all of them."""
    known = [one for one in history if one.returned is not None]
    unknown = [one for one in history if one.returned is None]
    for count in range(len(unknown) + 1):
        for some in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *some]):
                if _respects_time(order) and _is_allowed(order):
                    return True
    return False


def _respects_time(order: tuple[Operation, ...]) -> bool:
    return all(one.invoked <= later.end for place, one in enumerate(order) for later in order[place:])


def _is_allowed(order: tuple[Operation, ...]) -> bool:
    state = REGISTER.initial
    for one in order:
        following = tuple(REGISTER.step(state, one))
        if not following:
            return False
        (state,) = following
    return True


@given(small_histories())
def test_the_search_finds_an_order_exactly_where_there_is_one(history: list[Operation]) -> None:
    assert check(REGISTER, history).is_linearizable == has_an_order(history)
