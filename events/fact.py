"""How a fact is declared: a frozen dataclass with a wire name, a revision, and marked personal fields.

Facts last for ever. Never rename or remove a field; new fields have defaults; anything else is a new
revision with an upcaster.
"""

from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform


class Event:
    """The base of every fact. `type` and `rev` are its wire name and revision."""

    __slots__ = ()
    type: ClassVar[str]
    rev: ClassVar[int]
    personal_fields: ClassVar[tuple[str, ...]]


E = TypeVar("E", bound=Event)


def personal(*, default: None) -> Any:
    """A field that is sealed under the stream's data key; it reads as None once that key was erased."""
    return field(default=default, metadata={"personal": True})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, personal))
def fact(name: str, *, rev: int = 1) -> Callable[[type[E]], type[E]]:
    """Declare a fact with its dotted wire name, e.g. `@fact("password.changed")`."""

    def declare(cls: type[E]) -> type[E]:
        made = dataclass(frozen=True, kw_only=True, slots=True)(cls)
        made.type = name
        made.rev = rev
        made.personal_fields = tuple(f.name for f in _fields(made) if f.metadata.get("personal"))
        return made

    return declare


def _fields(cls: type[Any]) -> tuple[Field[Any], ...]:
    return fields(cls)
