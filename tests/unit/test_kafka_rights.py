"""What each process may do at Kafka is written down once, and nobody may do more than it seems."""

from pathlib import Path

from localstack.part import PROCESSES
from runtime.kafka_rights import Names, page, rights, writers

ROOT = Path(__file__).parent.parent.parent
NAMES = Names(events="e", keys="k", public="p", risk_group="r")


def test_the_page_is_what_the_table_prints() -> None:
    made = (ROOT / "docs/reference/kafka-rights.md").read_text()
    assert made == page(), "run python -m runtime.kafka_rights > docs/reference/kafka-rights.md"


def test_every_process_that_uses_kafka_has_rights() -> None:
    assert set(rights(NAMES)) == {*PROCESSES, "operator"} - {"query"}


def test_history_has_one_writer_beside_the_operator_and_the_feed_has_one() -> None:
    assert writers(NAMES) == {"e": ["operator", "command"], "k": ["operator", "command"], "p": ["relay"]}


def test_nobody_may_take_anything_away_or_change_it() -> None:
    given = {operation for own in rights(NAMES).values() for right in own for operation in right.operations}
    assert given == {"Read", "Write", "Create", "Describe", "DescribeConfigs"}


def test_only_the_risk_worker_has_rights_by_a_prefix_and_it_is_its_own() -> None:
    prefixes = [(user, right.name) for user, own in rights(NAMES).items() for right in own if right.is_prefix]
    assert prefixes == [("risk", "r-")]
