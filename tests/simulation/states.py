"""Compares every live writer's states and every row of the write model with an independent fold of the log."""

from collections.abc import Mapping, Sequence

from eventstore.state_codec import encode_state, without_personal
from eventstore.stream_cache import Entry
from tests.simulation.fold import Line, folded
from tests.simulation.replica import Replica
from tests.simulation.world import World


async def disagreements(
    world: World, lines: Sequence[Sequence[Line]], entries: Mapping[str, Entry]
) -> list[str]:
    found = []
    for replica in world.replicas:
        for stream, entry in entries.items():
            known = _known(replica, stream)
            if known is not None and (known.state, known.version) != (entry.state, entry.version):
                found.append(f"divergent: {replica.process.name} has {stream} as {known}, not {entry}")
    for partition, counted in enumerate(lines):
        found.extend(await _wrong_rows(world, partition, counted))
    return found


async def _wrong_rows(world: World, partition: int, lines: Sequence[Line]) -> list[str]:
    """Row by row, at the checkpoint."""
    streams = {event["stream"] for line in lines for event in line.commit["events"]}
    stored = await world.shelf.snapshots.load(partition, sorted(streams))
    checkpoint = stored.checkpoint
    if checkpoint is None:
        return [] if not stored.snapshots else [f"rows without a checkpoint in partition {partition}"]
    until = [line for line in lines if line.seq <= checkpoint.seq]
    if checkpoint.seq > 0 and (not until or until[-1].hash != checkpoint.hash):
        return [f"the checkpoint {checkpoint} is none of the log"]
    entries: dict[str, Entry] = {}
    await folded(until, world.shelf.topic.keyring(), entries)
    rows = {name: (row.version, row.state) for name, row in stored.snapshots.items()}
    right = {name: (e.version, encode_state(without_personal(e.state))) for name, e in entries.items()}
    wrong = [name for name in rows.keys() | right.keys() if rows.get(name) != right.get(name)]
    return [
        f"divergent: the row of {name} is {rows.get(name)}, not {right.get(name)}" for name in sorted(wrong)
    ]


def _known(replica: Replica, stream: str) -> Entry | None:
    """What the writer holds in memory, without asking anybody."""
    lane = replica.writer._lane_of(stream)  # noqa: SLF001  # looking must not load anything
    return lane.entry(stream)
