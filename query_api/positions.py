"""Reads that wait: `Chancery-Min-Position` and `Prefer: wait=`, and the position that an answer shows."""

import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from readmodels.positions import PositionWatch
from runtime.serving.answers import AnswerError, failure
from runtime.serving.shedding import resting

POSITION_HEADER = "Chancery-Position"
DEFAULT_WAIT_SECONDS = 2.0
MOST_WAIT_SECONDS = 10.0
_MOST_POSITIONS = 1024
_POSITION = re.compile(r"(\d{1,4}):(\d{1,15})")
_WAIT = re.compile(r"\bwait\s*=\s*(\d{1,4})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class MinPosition:
    """The least seq by partition that an answer must show, and how long to wait for it."""

    wanted: Mapping[int, int]
    wait_seconds: float


class BadPositionError(Exception):
    code = "bad-position"

    def __init__(self) -> None:
        super().__init__("Chancery-Min-Position must be `partition:sequence` as another answer gave it.")


class BehindError(Exception):
    code = "projection-behind"

    def __init__(self) -> None:
        super().__init__("The read model has not reached this position yet.")


class Positions:
    def __init__(self, watch: PositionWatch, partitions: int) -> None:
        self._watch = watch
        self._partitions = partitions

    def parse(self, request: Request) -> MinPosition:
        """400 `bad-position` for what is no position of this log."""
        headers = request.headers
        try:
            return self.read(headers.getlist("chancery-min-position"), headers.get("prefer", ""))
        except BadPositionError as error:
            raise AnswerError(failure(request.url.path, 400, error.code, str(error))) from None

    def read(self, texts: Sequence[str], prefer: str) -> MinPosition:
        """What these headers ask for. BadPositionError for what is no position of this log."""
        wanted: dict[int, int] = {}
        joined = ",".join(texts)
        for text in joined.split(",") if joined else []:
            match = _POSITION.fullmatch(text.strip())
            if match is None or int(match[1]) >= self._partitions or len(wanted) >= _MOST_POSITIONS:
                raise BadPositionError
            partition, seq = int(match[1]), int(match[2])
            wanted[partition] = max(seq, wanted.get(partition, 0))
        return MinPosition(wanted=wanted, wait_seconds=_wait_seconds(prefer))

    async def wait(self, request: Request, *projectors: str) -> Mapping[int, int]:
        """Return once every projector has reached what the request asks for; what was asked. Else 503."""
        least = self.parse(request)
        if not least.wanted:
            return least.wanted
        try:
            async with resting(request.scope):
                await self.reach(least, *projectors)
        except BehindError as error:
            raise _behind(request, error) from None
        return least.wanted

    @asynccontextmanager
    async def reading(self, request: Request, *projectors: str) -> AsyncIterator[dict[str, str]]:
        """For whoever reads rows of these projectors: the header that says what they show at least.

        503 unless what was read shows what the request asks for, also where a read model fell back meanwhile
        because it is built again in place.
        """
        wanted = await self.wait(request, *projectors)
        yield self.shown(*projectors)
        if wanted and not await self._watch.still_shows(projectors, wanted):
            raise _behind(request, BehindError())

    async def reach(self, least: MinPosition, *projectors: str) -> None:
        """Return once every projector is there; BehindError if one is not in time."""
        for projector in projectors if least.wanted else ():
            if not await self._watch.wait_for(projector, least.wanted, wait_seconds=least.wait_seconds):
                raise BehindError

    async def changes(self, request: Request, projector: str, *, wait_seconds: float) -> AsyncIterator[None]:
        """Now, and then after each of the projector's steps, until the wait is over."""
        until = time.monotonic() + wait_seconds
        while True:
            seen = self._watch.shown(projector)
            yield
            left = until - time.monotonic()
            if left <= 0:
                return
            async with resting(request.scope):
                has_changed = await self._watch.wait_for_change(projector, seen, wait_seconds=left)
            if not has_changed:
                return

    def shown(self, *projectors: str) -> dict[str, str]:
        """The header that says what an answer from these projectors' rows shows at least."""
        each = [self._watch.shown(projector) for projector in projectors]
        everywhere = set(each[0]).intersection(*each)
        return position_header({number: min(seqs[number] for seqs in each) for number in everywhere})


def _behind(request: Request, error: BehindError) -> AnswerError:
    return AnswerError(failure(request.url.path, 503, error.code, str(error), {"retry-after": "1"}))


def position_header(seqs: Mapping[int, int]) -> dict[str, str]:
    return {POSITION_HEADER: ",".join(f"{partition}:{seqs[partition]}" for partition in sorted(seqs))}


def _wait_seconds(prefer: str) -> float:
    match = _WAIT.search(prefer)
    return min(float(match[1]), MOST_WAIT_SECONDS) if match else DEFAULT_WAIT_SECONDS
