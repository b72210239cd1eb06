"""The model of the e-mail set: right stories have an order, and each wrong one has none."""

import pytest

from tests.support import email_set as said
from tests.support.email_set import EMAIL_SET
from tests.support.linearizability import Operation, check

X, Y, A, B = "x", "y", "a@example.com", "b@example.com"
SIGN_UP = said.SignUp(email=A, account_id=X)
MOVED = (
    (SIGN_UP, 201),
    (said.Hold(email=B, account_id=X, change_id="c"), True),
    (said.Move(email=B, account_id=X, change_id="c"), None),
)
UNDO = said.Undo(account_id=X, change_id="c")
RELEASE = said.Release(email=B, account_id=X, claim_id="c")


def has_order(*story: tuple[object, object], late: tuple[object, ...] = ()) -> bool:
    """One after the other, and some that may take effect at any time."""
    history = [
        Operation(client=0, asked=asked, answer=answer, invoked=time, returned=time + 0.5)
        for time, (asked, answer) in enumerate(story)
    ]
    history += [Operation(client=1, asked=asked, answer=None, invoked=0, returned=None) for asked in late]
    return check(EMAIL_SET, history).is_linearizable


@pytest.mark.parametrize(
    "story",
    [
        (
            (said.SignIn(email=A), None),
            (SIGN_UP, 201),
            (said.SignIn(email=A), X),
            (said.SignUp(email=A, account_id=""), 409),
        ),
        (
            *MOVED,
            (said.SignIn(email=A), None),
            (said.SignIn(email=B), X),
            (said.SignUp(email=A, account_id=""), 409),
            (UNDO, 204),
            (said.SignIn(email=A), X),
            (said.SignUp(email=B, account_id=""), 409),
            (UNDO, 400),
        ),
        (
            (SIGN_UP, 201),
            (said.Close(account_id=X), True),
            (said.SignIn(email=A), None),
            (said.SignUp(email=A, account_id=""), 409),
            (UNDO, 400),
        ),
        (
            (SIGN_UP, 201),
            (said.SignUp(email=B, account_id=Y), 201),
            (said.Hold(email=B, account_id=X, change_id="c"), False),
        ),
    ],
)
def test_what_the_platform_promises_has_an_order(story: tuple[tuple[object, object], ...]) -> None:
    assert has_order(*story)


def test_what_was_given_back_is_free_at_some_later_time_and_not_before() -> None:
    taken = (said.SignUp(email=B, account_id=Y), 201)
    assert has_order(*MOVED, (UNDO, 204), taken, late=(RELEASE,))
    assert not has_order(*MOVED, taken, late=(RELEASE,))
    assert not has_order(*MOVED, (UNDO, 204), taken)


@pytest.mark.parametrize(
    "story",
    [
        ((SIGN_UP, 201), (said.SignUp(email=A, account_id=Y), 201)),
        ((said.SignUp(email=A, account_id=""), 409),),
        ((SIGN_UP, 201), (said.SignIn(email=A), None)),
        ((SIGN_UP, 201), (said.SignIn(email=A), Y)),
        (*MOVED, (said.SignIn(email=A), X)),
        (*MOVED, (said.SignUp(email=B, account_id=Y), 201)),
        (*MOVED, (UNDO, 400)),
        (*MOVED, (UNDO, 204), (UNDO, 204)),
        ((SIGN_UP, 201), (said.Hold(email=B, account_id=X, change_id="c"), False)),
        ((SIGN_UP, 201), (said.Move(email=B, account_id=X, change_id="c"), None)),
        ((SIGN_UP, 201), (said.Close(account_id=X), True), (said.SignIn(email=A), X)),
        ((SIGN_UP, 201), (said.Close(account_id=X), True), (said.Close(account_id=X), True)),
        (
            (SIGN_UP, 201),
            (said.SignUp(email=B, account_id=Y), 201),
            (said.Hold(email=B, account_id=X, change_id="c"), True),
        ),
    ],
)
def test_what_the_platform_must_never_answer_has_no_order(story: tuple[tuple[object, object], ...]) -> None:
    assert not has_order(*story)
