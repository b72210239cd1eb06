"""Facts about an account's change to another e-mail address, and about the way back."""

from datetime import datetime
from typing import Literal

from events.fact import Event, fact, personal

IgnoredChangeCause = Literal["taken", "same-address", "too-many-mails", "too-many-addresses"]
AbandonCause = Literal["taken", "interrupted"]


@fact("email_change.requested")
class EmailChangeRequested(Event):
    """`identifier` names the new address, which gets a code by mail; an earlier request is dead."""

    change_id: str
    identifier: str
    code_expires_at: datetime
    requested_at: datetime
    email: str | None = personal(default=None)


@fact("email_change.ignored")
class EmailChangeIgnored(Event):
    """A change was asked for that cannot be, and no mail goes out; an earlier request is dead too."""

    cause: IgnoredChangeCause


@fact("email_change.code_rejected")
class EmailChangeCodeRejected(Event):
    """A wrong, used or expired code; it counts until the waiting code is dead."""


@fact("email_change.abandoned")
class EmailChangeAbandoned(Event):
    """The change will never be: its claim to the new address, if there is one, is given back."""

    change_id: str
    cause: AbandonCause


@fact("email.changed")
class EmailChanged(Event):
    """The account has another address. The one before stays held, and may be restored until `undo_until`."""

    change_id: str
    identifier: str
    undo_until: datetime
    email: str | None = personal(default=None)
    previous_email: str | None = personal(default=None)


@fact("email_change.undone")
class EmailChangeUndone(Event):
    """The address from before this change is restored; what came after it is given back."""

    change_id: str
    email: str | None = personal(default=None)


@fact("email.hold_ended")
class EmailHoldEnded(Event):
    """The time to undo this change is over: the address from before it is given back."""

    change_id: str
