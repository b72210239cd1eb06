"""Facts about what remains to be done for an e-mail change in other partitions."""

from datetime import datetime
from typing import Literal

from events.fact import Event, fact

Task = Literal["settle-claim", "end-hold", "release"]


@fact("errand.opened")
class ErrandOpened(Event):
    """From `due_at` on, whoever sees this does `task`. `claim_id` is the claim, or the change, that it is about."""

    errand_id: str
    task: Task
    account_id: str
    identifier: str
    claim_id: str
    due_at: datetime


@fact("errand.closed")
class ErrandClosed(Event):
    errand_id: str
