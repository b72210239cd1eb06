"""One session's refresh tokens as a model: each opens one successor, an older one closes the session.

The grace of the token before is longer than any history here, so within it the same successor is the only
right answer. `Present` is answered with the successor, with REFUSED, or (no return) nobody knows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.support.linearizability import Model, Operation

REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Present:
    """`successor` is what others were told that follows this token, for answers that never came."""

    session_id: str
    token: str
    successor: str = ""


@dataclass(frozen=True, slots=True)
class SignOut:
    session_id: str


@dataclass(frozen=True, slots=True)
class Family:
    """The tokens that were handed out, oldest first, `is_live` until its end."""

    tokens: tuple[str, ...] = ()
    is_live: bool = True


def _step(state: Family, operation: Operation) -> Iterator[Family]:
    asked, answer = operation.asked, operation.answer
    if isinstance(asked, SignOut):
        yield replace(state, is_live=False)
        return
    tokens = state.tokens or (asked.token,)
    if not state.is_live or asked.token not in tokens:
        if answer in (REFUSED, None):
            yield state
    elif asked.token == tokens[-1]:
        successor = answer or asked.successor
        if answer != REFUSED and successor not in tokens:
            yield Family((*tokens, successor))
    elif tokens.index(asked.token) == len(tokens) - 2:
        if answer in (tokens[-1], None):
            yield state
    elif answer in (REFUSED, None):
        yield Family(tokens, is_live=False)


REFRESH_FAMILY = Model(initial=Family(), step=_step, part_of=lambda operation: operation.asked.session_id)
