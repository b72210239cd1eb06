"""What can go wrong with the log, in two families: try again, and stop."""


class TryAgainError(Exception):
    """The command was not refused, and may be sent again."""


class UnavailableError(TryAgainError):
    """The log or a store did not answer in time; nothing was changed."""


class OutcomeUnknownError(TryAgainError):
    """The command was sent to the log and its fate could not be read. Repeat it with the same Idempotency-Key."""


class AppendUnknownError(Exception):
    """An append has no known outcome: it may count, may be void, or may still arrive."""


class CorruptLogError(Exception):
    """A partition breaks the rules of the chain: readers halt there and never skip."""

    def __init__(self, partition: int, offset: int, reason: str) -> None:
        super().__init__(f"partition {partition}, offset {offset}: {reason}")
        self.partition = partition
        self.offset = offset
        self.reason = reason


class UnsafeTopicError(Exception):
    """A topic is missing or has settings under which the log could lose its history."""


class OverloadedError(TryAgainError):
    """Too many commands wait already; this one was not begun."""


class BasisMovedError(Exception):
    """The write model moved while it was read; what was read is of another time than what is in memory."""


class MissingStreamError(Exception):
    """A decision needs a stream, or a data key to seal for a subject, that is not in memory. Load it, decide again."""

    def __init__(self, stream: str, subject: str | None = None) -> None:
        super().__init__(stream)
        self.stream = stream
        self.subject = subject


class StaleBasisError(TryAgainError):
    """What a decision was prepared with (a password hash that was checked) is not what the log says now."""
