"""An e-mail address as a command takes it: parsed once and trusted afterwards."""

from dataclasses import dataclass
from typing import Self

from domain.refusals import InvalidEmail
from runtime.email_address import canonical_email


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailAddress:
    """As its owner wrote it (`stored`: where mail goes) and as it is compared (`canonical`)."""

    stored: str
    canonical: str

    @classmethod
    def parse(cls, text: str) -> Self:
        canonical = canonical_email(text)
        if canonical is None:
            raise InvalidEmail
        return cls(stored=text, canonical=canonical)
