"""The model of refresh tokens: right stories have an order, and each wrong one has none."""

import pytest

from tests.support.linearizability import Operation, check
from tests.support.refresh_family import REFRESH_FAMILY, REFUSED, Present, SignOut

Story = tuple[tuple[str, str | None], ...]


def has_order(story: Story, *, at_once: bool = False) -> bool:
    history = [
        Operation(
            client=0,
            asked=SignOut("s") if token == "sign out" else Present("s", token, str(int(token) + 1)),
            answer=answer,
            invoked=0 if at_once else time,
            returned=100 if at_once else time + 0.5,
        )
        for time, (token, answer) in enumerate(story)
    ]
    return check(REFRESH_FAMILY, history).is_linearizable


@pytest.mark.parametrize(
    "story",
    [
        (("1", "2"), ("2", "3"), ("3", "4")),
        (("1", "2"), ("1", "2"), ("2", "3"), ("2", "3")),
        (("1", "2"), ("2", "3"), ("1", REFUSED), ("3", REFUSED), ("2", REFUSED)),
        (("1", "2"), ("sign out", None), ("2", REFUSED), ("1", REFUSED)),
    ],
)
def test_rotation_the_grace_theft_and_sign_out_have_an_order(story: Story) -> None:
    assert has_order(story)


@pytest.mark.parametrize(
    "story",
    [
        (("1", "2"), ("1", "another")),
        (("1", "2"), ("2", "3"), ("1", "2")),
        (("1", "2"), ("1", REFUSED)),
        (("1", "2"), ("2", REFUSED)),
        (("1", "2"), ("2", "3"), ("1", REFUSED), ("3", "4")),
        (("1", "2"), ("sign out", None), ("2", "3")),
        (("1", "2"), ("sign out", None), ("1", "2")),
        (("1", "2"), ("2", "1")),
    ],
)
def test_a_second_successor_a_false_alarm_and_a_revived_session_have_none(story: Story) -> None:
    assert not has_order(story)


def test_many_at_once_get_one_successor() -> None:
    assert has_order((("1", "2"),) * 16, at_once=True)
    assert not has_order((*((("1", "2"),) * 15), ("1", "another")), at_once=True)


def test_what_nobody_answered_may_have_rotated_or_not() -> None:
    lost = Operation(client=0, asked=Present("s", "1", "2"), answer=None, invoked=0, returned=None)
    for story in ((("1", "2"),), (("2", "3"), ("1", REFUSED))):
        later = [
            Operation(
                client=0, asked=Present("s", token), answer=answer, invoked=time + 1, returned=time + 1.5
            )
            for time, (token, answer) in enumerate(story)
        ]
        assert check(REFRESH_FAMILY, [lost, *later]).is_linearizable
