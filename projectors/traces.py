"""The spans that a batch leaves: one in the trace of each request that it holds something of."""

from projectors.follower import Batch
from runtime.tracing import is_recording, leave_span


def leave_spans(verb: str, consumer: str, batch: Batch, began: int) -> None:
    """Of a batch whose work began at that time (`time.time_ns()`) and is done now."""
    if not is_recording():
        return
    for commit in batch.commits:
        for fact in commit.facts[:1]:
            attributes = {"chancery.consumer": consumer, "chancery.position": str(fact.position)}
            leave_span(f"{verb} {consumer}", "consumer", fact.trace, began, attributes)
