"""The worker's own topics, made by us: Faust would make them with whatever the broker's defaults are."""

from datetime import timedelta

from projectors.risk.counting import own_topics
from projectors.risk.rules import HISTORY
from runtime.kafka_access import KafkaAccess
from runtime.kafka_admin import TopicSpec, open_admin

_SEGMENT = timedelta(hours=6)
"""Nothing is removed from a segment that is still written, so it is not kept open for a week."""


async def create_own_topics(
    access: KafkaAccess, group: str, *, partitions: int, replication_factor: int, window: timedelta
) -> None:
    """Create what is missing. All of it can be lost: the window that is open then is counted anew."""
    kept = 2 * window + HISTORY
    async with open_admin(access) as admin:
        for name, cleanup in own_topics(group).items():
            spec = TopicSpec(
                name=name,
                partitions=partitions,
                replication_factor=replication_factor,
                settings={
                    "cleanup.policy": cleanup,
                    "retention.ms": _milliseconds(kept),
                    "segment.ms": _milliseconds(min(kept, _SEGMENT)),
                    "unclean.leader.election.enable": "false",
                    "min.insync.replicas": str(max(1, replication_factor - 1)),
                },
            )
            await admin.create(spec)


def _milliseconds(duration: timedelta) -> str:
    return str(int(duration.total_seconds() * 1000))
