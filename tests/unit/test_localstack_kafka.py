"""What Kafka's own tools are given."""

import re

from localstack.kafka import new_cluster_id


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    """One random id in 64 would begin with a dash, and the stack's first start would fail."""
    ids = [new_cluster_id() for _ in range(1000)]
    assert [one for one in ids if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", one)] == []
    assert len(set(ids)) == 1000
