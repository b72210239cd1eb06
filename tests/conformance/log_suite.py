"""What every implementation of the log must do. Subclasses provide the fixture `log`."""

import asyncio
import contextlib

from eventstore.commit import Record
from eventstore.errors import UnavailableError
from eventstore.log import Log


class LogSuite:
    """The log is empty at the start of each test, or holds only what this suite wrote before."""

    async def test_an_append_is_acknowledged_with_the_offset_it_got(self, log: Log) -> None:
        end = await log.end(0)
        assert await log.append(0, b"k", b"one") == end
        assert await log.append(0, b"k", b"two") == end + 1
        assert await log.end(0) == end + 2

    async def test_records_are_read_in_order_from_any_offset(self, log: Log) -> None:
        start = await log.end(0)
        for number in range(5):
            await log.append(0, b"key-%d" % number, b"value-%d" % number)
        for skipped in (3, 0, 4):
            records = await read_to_end(log, start + skipped)
            expected = [(start + n, b"key-%d" % n, b"value-%d" % n) for n in range(skipped, 5)]
            assert [(r.offset, r.key, r.value) for r in records] == expected

    async def test_reading_at_the_end_waits_and_then_gives_nothing(self, log: Log) -> None:
        assert await log.read(0, await log.end(0), wait_seconds=0.2) in ((), [])

    async def test_reading_at_the_end_sees_what_comes(self, log: Log) -> None:
        end = await log.end(0)
        reading = asyncio.create_task(log.read(0, end, wait_seconds=10))
        await asyncio.sleep(0.05)
        await log.append(0, b"k", b"late")
        assert [record.value for record in await reading] == [b"late"]

    async def test_partitions_are_apart(self, log: Log) -> None:
        first, second = await log.end(0), await log.end(1)
        await log.append(1, b"k", b"v")
        assert (await log.end(0), await log.end(1)) == (first, second + 1)

    async def test_many_appends_at_once_all_arrive_once(self, log: Log) -> None:
        start = await log.end(0)
        offsets = await asyncio.gather(*(log.append(0, b"k", b"%d" % n) for n in range(50)))
        assert sorted(offsets) == list(range(start, start + 50))
        stored = {record.offset: record.value for record in await read_to_end(log, start)}
        assert stored == {offset: b"%d" % n for n, offset in enumerate(offsets)}

    async def test_reading_beyond_the_end_is_no_record(self, log: Log) -> None:
        end = await log.end(0)
        with contextlib.suppress(UnavailableError):
            assert not await log.read(0, end + 100, wait_seconds=0.2)

    async def test_the_log_says_how_many_partitions_it_has(self, log: Log) -> None:
        assert log.partitions == 2


async def read_to_end(log: Log, offset: int) -> list[Record]:
    records: list[Record] = []
    end = await log.end(0)
    while offset + len(records) < end:
        records.extend(await log.read(0, offset + len(records), wait_seconds=5))
    return records
