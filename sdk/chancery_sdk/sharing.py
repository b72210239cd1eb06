"""The port to sharing: which of several processes follows which partitions, now. Partitions come and go.

It saves double work and moves it to who is alive. What is safe does not depend on it: that is the checkpoints' part.
"""

from collections.abc import Collection
from typing import Protocol


class Hands(Protocol):
    """What a member does when it is told to. It is told one thing after the other."""

    async def take(self, partitions: Collection[int]) -> None:
        """Follow these too. Returns at once."""
        ...

    async def leave(self, partitions: Collection[int]) -> None:
        """Return once what was begun of these is committed, or given up because it took too long."""
        ...


class Sharing(Protocol):
    async def take_part(self, hands: Hands) -> None:
        """Until cancelled, which gives back what is held. Outages are waited for."""
        ...
