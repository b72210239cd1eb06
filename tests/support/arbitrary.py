"""Any fact and any command, made from their declared types. Values are few, so that they often meet."""

import types
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from events.codec import CATALOGUE
from events.fact import Event
from tests.support.examples import MINUTE, NOON

NAMES = st.sampled_from(["a", "b", "c"])
MOMENTS = st.integers(-5, 60).map(lambda minutes: NOON + minutes * MINUTE)
DURATIONS = st.integers(0, 30).map(lambda minutes: minutes * MINUTE)
SMALL: dict[Any, st.SearchStrategy[Any]] = {
    str: NAMES,
    int: st.integers(0, 5),
    bool: st.booleans(),
    datetime: MOMENTS,
    timedelta: DURATIONS,
    types.NoneType: st.none(),
}


def values(hint: Any, atoms: dict[Any, st.SearchStrategy[Any]] = SMALL) -> st.SearchStrategy[Any]:
    """Values of a declared type, built from strategies for those that are not built from others."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in atoms:
        return atoms[hint]
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([values(argument, atoms) for argument in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0], atoms), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(argument, atoms) for argument in arguments))
    assert isinstance(hint, type)
    assert is_dataclass(hint)
    hints = get_type_hints(hint)
    return st.builds(hint, **{field.name: values(hints[field.name], atoms) for field in fields(hint)})


def facts(*, atoms: dict[Any, st.SearchStrategy[Any]] = SMALL) -> st.SearchStrategy[Event]:
    """A fact of any type that there is."""
    return st.one_of([values(cls, atoms) for cls in CATALOGUE.values()])
