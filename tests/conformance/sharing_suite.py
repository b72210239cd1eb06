"""What every way to share partitions must do: each has one member, and goes to another one when it is given up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field

import pytest

from chancery_sdk.sharing import Hands, Sharing
from tests.support.tasks import eventually

PARTITIONS = 4
PATIENCE_SECONDS = 30.0


@dataclass(eq=False, slots=True)
class Board:
    """Who holds what. `conflicts` are partitions that somebody took while another one had them."""

    holders: dict[int, "Member"] = field(default_factory=dict)
    conflicts: list[int] = field(default_factory=list)

    def held_by(self, member: "Member") -> set[int]:
        return {number for number, holder in self.holders.items() if holder is member}


class Member(Hands):
    """It takes `slow_seconds` to finish what it began."""

    def __init__(self, board: Board, slow_seconds: float = 0) -> None:
        self._board = board
        self._slow_seconds = slow_seconds

    async def take(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            if partition in self._board.holders:
                self._board.conflicts.append(partition)
            self._board.holders[partition] = self

    async def leave(self, partitions: Collection[int]) -> None:
        await asyncio.sleep(self._slow_seconds)
        for partition in partitions:
            if self._board.holders.get(partition) is self:
                del self._board.holders[partition]


@contextlib.asynccontextmanager
async def taking_part(sharing: Sharing, member: Member) -> AsyncIterator[None]:
    part = asyncio.create_task(sharing.take_part(member))
    try:
        yield
    finally:
        part.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(part, PATIENCE_SECONDS)


async def until(holds: Callable[[], bool]) -> None:
    async def look() -> bool:
        return holds()

    await eventually(look, within_seconds=PATIENCE_SECONDS)


class SharingSuite:
    """`join` gives each process's own view of the same group."""

    @pytest.fixture
    def join(self) -> Callable[[], Sharing]:
        raise AssertionError("each implementation has its own")

    async def test_one_member_gets_everything(self, join: Callable[[], Sharing]) -> None:
        board = Board()
        one = Member(board)
        async with taking_part(join(), one):
            await until(lambda: board.held_by(one) == set(range(PARTITIONS)))
        assert board.holders == {}

    async def test_members_share_come_and_go_and_never_hold_the_same(
        self, join: Callable[[], Sharing]
    ) -> None:
        board = Board()
        one, two = Member(board), Member(board, slow_seconds=0.5)
        async with taking_part(join(), one):
            await until(lambda: len(board.held_by(one)) == PARTITIONS)
            async with taking_part(join(), two):
                await until(lambda: len(board.held_by(one)) == len(board.held_by(two)) == PARTITIONS // 2)
            await until(lambda: len(board.held_by(one)) == PARTITIONS)
        assert board.conflicts == []

    async def test_who_takes_waits_for_who_still_finishes(self, join: Callable[[], Sharing]) -> None:
        board = Board()
        slow = Member(board, slow_seconds=1.5)
        async with taking_part(join(), slow):
            await until(lambda: len(board.held_by(slow)) == PARTITIONS)
            async with taking_part(join(), Member(board)):
                await until(lambda: len(board.held_by(slow)) == PARTITIONS // 2)
        assert board.conflicts == []
