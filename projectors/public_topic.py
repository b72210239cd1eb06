"""The public topic as the relay sees it: what it was acknowledged to hold, and how more gets there.

A batch is stored whole or not at all, and the next one is sent when the fate of the one before is known. So
every batch begins right after what the topic held when it was sent, and the topic can have no gap; what
arrives late, or from a relay that slept, repeats events that are there, under the same ids.
"""

from collections.abc import Sequence

from events.public.envelope import Place, parse_place
from eventstore.errors import CorruptLogError, UnavailableError
from runtime.kafka import KafkaMessage, KafkaOffsetLostError, KafkaReader, KafkaUnavailableError
from runtime.kafka_access import KafkaAccess
from runtime.kafka_batches import KafkaBatchWriter, KafkaRecord
from runtime.logs import get_logger

BATCH_EVENTS = 400
WINDOW = 2 * BATCH_EVENTS + 1
"""So many records are looked at for the last event: the very last ones may be a late repetition of earlier ones."""
_READ_SECONDS = 2.0

_log = get_logger("relay")


class PublicTopic:
    def __init__(
        self, access: KafkaAccess, topic: str, partitions: int, *, timeout_seconds: float = 2.0
    ) -> None:
        self._topic = topic
        self._writer = KafkaBatchWriter(access, timeout_seconds=timeout_seconds)
        self._reader = KafkaReader(
            access, topic, partitions, timeout_seconds=timeout_seconds, between_reads="pause"
        )
        self._ends = dict.fromkeys(range(partitions), 0)
        """Known ends: an earlier one is the word of a broker that has slept."""

    async def start(self) -> None:
        try:
            await self._reader.start()
        except KafkaUnavailableError as error:
            raise UnavailableError(str(error)) from None

    async def stop(self) -> None:
        await self._writer.stop()
        await self._reader.stop()

    async def last_place(self, partition: int) -> Place | None:
        """The latest event that the partition holds, None if it never held any.

        CorruptLogError where that cannot be told any more, because retention removed everything.
        """
        try:
            begin = await self._reader.begin(partition)
            end = await self._reader.end(partition, at_least=max(begin, self._ends[partition]))
            self._ends[partition] = end
            found = await self._latest(partition, begin, end)
        except KafkaUnavailableError as error:
            raise UnavailableError(str(error)) from None
        except KafkaOffsetLostError as error:
            raise UnavailableError(f"{error}; retention has just removed it") from None
        if found is None and begin > 0:
            reason = (
                f"topic {self._topic} holds no event any more that says how far it came. Delete the topic and "
                "run `chancery provision` to publish everything anew; keep a longer retention"
            )
            raise CorruptLogError(partition, end, reason)
        return found

    async def _latest(self, partition: int, begin: int, end: int) -> Place | None:
        """Looks back, window by window, past records that are none of the relay's."""
        while end > begin:
            start = max(begin, end - WINDOW)
            messages = await self._window(partition, start, end)
            places = [parse_place(partition, message.headers) for message in messages]
            ours = [place for place in places if place is not None]
            if len(ours) < len(places):
                _log.warning(
                    "records of others in the public topic",
                    partition=partition,
                    records=len(places) - len(ours),
                )
            if ours:
                return max(ours, key=lambda place: place.order)
            end = start
        return None

    async def _window(self, partition: int, start: int, end: int) -> Sequence[KafkaMessage]:
        messages: list[KafkaMessage] = []
        while start < end:
            batch = await self._reader.read(partition, start, wait_seconds=_READ_SECONDS)
            if not batch:
                raise KafkaUnavailableError(f"{self._topic}-{partition} cannot be read at {start}")
            messages += [message for message in batch if message.offset < end]
            start = batch[-1].offset + 1
        return messages

    async def publish(self, partition: int, records: Sequence[KafkaRecord]) -> int:
        """Store the first records; how many. UnavailableError means: unknown, so ask `last_place`."""
        try:
            stored = await self._writer.send_batch(self._topic, partition, records[:BATCH_EVENTS])
        except KafkaUnavailableError as error:
            raise UnavailableError(str(error)) from None
        assert stored > 0, "an event that no batch has room for"
        return stored
