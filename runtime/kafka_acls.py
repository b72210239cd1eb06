"""Kafka's access control lists: which user may do what with a topic or the cluster (KIP-11, KIP-290)."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.protocol.admin import DescribeAclsRequest
from aiokafka.protocol.api import Response

_TOPIC, _CLUSTER, _MATCH, _ANY = 2, 4, 2, 1
_CLUSTER_NAME = "kafka-cluster"
_ALLOW = 3
OPERATIONS = {
    2: "All",
    3: "Read",
    4: "Write",
    5: "Create",
    6: "Delete",
    7: "Alter",
    8: "Describe",
    9: "ClusterAction",
    10: "DescribeConfigs",
    11: "AlterConfigs",
}
"""Kafka's AclOperation.java, as far as topics and the cluster have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AclEntry:
    """`operation` is a word of `OPERATIONS`, or a number that is not known here."""

    principal: str
    operation: str
    is_allowed: bool


Acls = Sequence[AclEntry]


def all_acls_of_topic(topic: str) -> DescribeAclsRequest:
    """A question for all entries that concern the topic: by its name, by a prefix of it, and by a wildcard."""
    return _all_acls(_TOPIC, topic)


def all_acls_of_cluster() -> DescribeAclsRequest:
    return _all_acls(_CLUSTER, _CLUSTER_NAME)


def _all_acls(kind: int, name: str) -> DescribeAclsRequest:
    return DescribeAclsRequest(
        resource_type=kind,
        resource_name=name,
        resource_pattern_type_filter=_MATCH,
        principal=None,
        host=None,
        operation=_ANY,
        permission_type=_ANY,
    )


def acls_of(response: Response) -> Acls:
    return [
        AclEntry(
            principal=principal,
            operation=OPERATIONS.get(operation, str(operation)),
            is_allowed=permission == _ALLOW,
        )
        for *_, entries in response.resources
        for principal, _, operation, permission in entries
    ]


def who_may(acls: Acls, *operations: str) -> Sequence[str]:
    """Whom entries allow one of these, by name; those that are then denied it are among them."""
    wanted = {*operations, "All"}
    return sorted({one.principal for one in acls if one.is_allowed and one.operation in wanted})
