"""What each process may do at Kafka, and no more: `python -m runtime.kafka_rights` prints docs/reference/kafka-rights.md.

Brokers hold processes to it where they have an authorizer (KIP-11), and each process a user of its own.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runtime.settings import Settings

Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Kind = Literal["topic", "group", "cluster"]
USER_PREFIX = "chancery-"
"""What users' names begin with in this page and in `k8s/overlays/production`; any names will do."""
CLUSTER = "kafka-cluster"
"""Kafka's own name of the only resource of its kind."""

_LOOK: tuple[Operation, ...] = ("Describe", "DescribeConfigs")
_READ: tuple[Operation, ...] = ("Read", *_LOOK)
_WRITE: tuple[Operation, ...] = ("Read", "Write", *_LOOK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """`is_prefix`: for every resource of this kind whose name begins so."""

    kind: Kind
    name: str
    operations: tuple[Operation, ...]
    is_prefix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that settings give; the defaults are those of the settings."""

    events: str
    keys: str
    public: str
    risk_group: str

    @classmethod
    def of(cls, settings: Settings) -> "Names":
        return cls(
            events=settings.events_topic,
            keys=settings.keys_topic,
            public=settings.public_topic,
            risk_group=settings.risk_group,
        )

    @classmethod
    def usual(cls) -> "Names":
        of = Settings.model_fields
        fields = ("events_topic", "keys_topic", "public_topic", "risk_group")
        events, keys, public, group = (str(of[name].default) for name in fields)
        return cls(events=events, keys=keys, public=public, risk_group=group)


def rights(names: Names) -> Mapping[str, Sequence[Right]]:
    """By user. `operator` is who provisions, runs `chancery doctor`, and re-wraps keys. Query processes know no Kafka."""
    reads_log = (_topic(names.events, _READ), _topic(names.keys, _READ))
    return {
        "operator": (
            _topic(names.events, (*_WRITE, "Create")),
            _topic(names.keys, (*_WRITE, "Create")),
            _topic(names.public, (*_READ, "Create")),
            Right(kind="cluster", name=CLUSTER, operations=("Describe",)),
        ),
        "command": (_topic(names.events, _WRITE), _topic(names.keys, _WRITE)),
        "projectors": reads_log,
        "mailer": reads_log,
        "relay": (_topic(names.events, _READ), _topic(names.public, _WRITE)),
        "risk": (
            _topic(names.public, _READ),
            Right(kind="topic", name=f"{names.risk_group}-", operations=(*_WRITE, "Create"), is_prefix=True),
            Right(kind="group", name=names.risk_group, operations=("Read", "Describe")),
        ),
    }


def writers(names: Names) -> Mapping[str, Sequence[str]]:
    """Which users write each topic if all is as it should be."""
    given = rights(names).items()
    return {
        topic: [
            user for user, own in given if any(one.name == topic and "Write" in one.operations for one in own)
        ]
        for topic in (names.events, names.keys, names.public)
    }


def command_line(user: str, right: Right) -> str:
    """For Kafka's own tool; `--command-config` and the address are left to who runs it."""
    resource = "--cluster" if right.kind == "cluster" else f"--{right.kind} {right.name}"
    pattern = " --resource-pattern-type prefixed" if right.is_prefix else ""
    operations = " ".join(f"--operation {operation}" for operation in right.operations)
    return (
        f"kafka-acls.sh … --add --allow-principal User:{USER_PREFIX}{user} {resource}{pattern} {operations}"
    )


def page() -> str:
    names = Names.usual()
    lines = [
        "# Rights at Kafka",
        "",
        "<!-- made by `python -m runtime.kafka_rights` -->",
        "What each process does at brokers, with the topics' usual names: give each [a user of its own](../how-to/secure-kafka.md)",
        "with these rights. Query processes use no Kafka. Nobody needs Delete, Alter or AlterConfigs: with them the log could be",
        "lost. `chancery-operator` is who runs `chancery provision`, `chancery doctor`, `chancery replay verify` and `chancery keys rewrap`.",
        "",
        "| user | of | may |",
        "|---|---|---|",
    ]
    for user, own in rights(names).items():
        for right in own:
            name = f"`{right.name}{'*' if right.is_prefix else ''}`"
            what = "the cluster" if right.kind == "cluster" else f"{right.kind} {name}"
            lines.append(f"| `{USER_PREFIX}{user}` | {what} | {', '.join(right.operations)} |")
    lines += [
        "",
        "With Kafka's own tool, `…` being its address and the credentials of somebody who may do this:",
        "",
        "```",
        *(command_line(user, right) for user, own in rights(names).items() for right in own),
        "```",
        "",
        "A subscriber of the public feed needs Read on the public topic, and Read on its group if it has one.",
    ]
    return "\n".join(lines) + "\n"


def _topic(name: str, operations: tuple[Operation, ...]) -> Right:
    return Right(kind="topic", name=name, operations=operations)


if __name__ == "__main__":
    sys.stdout.write(page())
