"""Folded states to and from bytes, with and without what is personal.

A state is a frozen dataclass, one of those that its aggregate's `evolve` returns. Fields marked `personal` read
as None in the public form, exactly as a fold reads them once the data key was erased.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

import msgspec

from domain.aggregate import AnyAggregate

_ENCODER = msgspec.json.Encoder()


class _Tagged(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    state: msgspec.Raw


_DECODER = msgspec.json.Decoder(_Tagged)


def encode_state(state: Any) -> bytes:
    return _ENCODER.encode({"type": type(state).__name__, "state": state})


def decode_state(aggregate: AnyAggregate, raw: bytes) -> Any:
    """The state. msgspec.MsgspecError or KeyError if `raw` is none of this aggregate's."""
    tagged = _DECODER.decode(raw)
    return msgspec.json.decode(tagged.state, type=_state_types(aggregate.evolve)[tagged.type])


def without_personal(state: Any) -> Any:
    """The same state with every personal field, however deep, as None; the same object if there is none."""
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        changes = {
            name: public
            for name, is_personal in _fields(type(state))
            if (public := None if is_personal else without_personal(getattr(state, name)))
            is not getattr(state, name)
        }
        return dataclasses.replace(state, **changes) if changes else state
    if isinstance(state, tuple):
        items = tuple(without_personal(item) for item in state)
        return state if all(new is old for new, old in zip(items, state, strict=True)) else items
    if isinstance(state, Mapping):
        public_items = {key: without_personal(item) for key, item in state.items()}
        return state if all(public_items[key] is state[key] for key in state) else public_items
    return state


@functools.cache
def _fields(cls: type[Any]) -> tuple[tuple[str, bool], ...]:
    return tuple((field.name, bool(field.metadata.get("personal"))) for field in dataclasses.fields(cls))


@functools.cache
def _state_types(evolve: Callable[..., Any]) -> Mapping[str, type[Any]]:
    """The classes that `evolve` says it returns, by name."""
    returned = get_type_hints(evolve)["return"]
    return {cls.__name__: cls for cls in get_args(returned) or (returned,)}
