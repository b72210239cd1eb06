"""What happened in a run, for people: every try in its order, and every record as it was stored.

Nothing that was sealed and no hash is shown: data keys are not drawn from the seed.
"""

import json
from collections.abc import Set as AbstractSet

from eventstore.commit import Record, hash_record
from tests.simulation.fold import counting
from tests.simulation.world import World


def trace(world: World) -> list[str]:
    lines = [str(world.schedule), *(str(attempt) for attempt in world.history.in_order())]
    for number in range(world.schedule.partitions):
        records = world.shelf.log.records(number)
        counted = {line.hash for line in counting(records)}
        lines.extend(_said_of(record, counted) for record in records)
    return lines


def _said_of(record: Record, counted: AbstractSet[str]) -> str:
    content = json.loads(record.value or b"")
    does_count = hash_record(record.key or b"", record.value or b"") in counted
    types = " ".join(event["type"] for event in content.get("events", ()))
    place = f"{record.partition}@{record.offset}"
    kind = "genesis" if "events" not in content else "counts" if does_count else "void"
    at = content["at"][11:]
    return f"{place:5} seq {content['seq']:<3} {kind:7} {content.get('trace', ''):7} {at:16} {types}"
