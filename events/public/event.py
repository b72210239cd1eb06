"""How a public event is declared: a frozen dataclass with a type, a version, and one field that says whom it is about.

Other services read these for ever. A version may gain optional fields and known values, nothing else; anything
else is a new version beside the old one. `compatibility.py` holds every change to that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, TypeVar, dataclass_transform

from msgspec import Meta


class PublicEvent:
    """The base of every public event. `subject_field` names the field that is the record's key."""

    __slots__ = ()
    type: ClassVar[str]
    subject_field: ClassVar[str]

    @property
    def subject(self) -> str:
        subject: str = getattr(self, self.subject_field)
        return subject


E = TypeVar("E", bound=PublicEvent)

EXAMPLE_ID = "aeqhk3mzx2v5r7t4yw6ubn3jca"

AccountId = Annotated[str, Meta(description="The account that it is about.", examples=[EXAMPLE_ID])]
SessionId = Annotated[
    str, Meta(description="A session of the account.", examples=["aeu5d2xq7hk3mzv4r6t5yw3ubn"])
]
ClientId = Annotated[str, Meta(description="A client.", examples=["mbq7hk3mzx2v5r4t6yw5ubn3jc"])]
KeyId = Annotated[
    str, Meta(description="`kid` of the key in the published key set.", examples=["uQ0yTn3v8Zr1"])
]


def moment(description: str) -> Meta:
    return Meta(tz=True, description=description, examples=["2026-01-31T12:00:00.123456Z"])


def known_values(description: str, *values: str) -> Meta:
    """Values that there are today. Subscribers have to accept others, because more may come."""
    return Meta(description=f"{description} More values may come.", examples=list(values))


@dataclass_transform(frozen_default=True, kw_only_default=True)
def public_event(name: str, *, about: str, v: int = 1) -> Callable[[type[E]], type[E]]:
    """Declare a public event, e.g. `@public_event("session.revoked", about="account_id")`."""

    def declare(cls: type[E]) -> type[E]:
        made = dataclass(frozen=True, kw_only=True, slots=True)(cls)
        made.type = f"chancery.{name}.v{v}"
        made.subject_field = about
        return made

    return declare


LockedUntil = Annotated[datetime, moment("Until when passwords are refused.")]
EraseAfter = Annotated[datetime, moment("The account is erased then, or later.")]
ExpiresAt = Annotated[datetime, moment("It ends then in any case.")]
IdleExpiresAt = Annotated[datetime, moment("It ends then unless it is refreshed before.")]
