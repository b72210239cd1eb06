"""A broker that wants to know who asks: TLS, users by SCRAM (RFC 5802), certificates of clients, and rights (KIP-11).

Its plain port stays, for whoever looks after it: who comes there has no name, and may do everything.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from pydantic import SecretStr

from localstack.ports import LOOPBACK, Ports, free_ports
from runtime.kafka_access import KafkaAccess, SaslMechanism
from runtime.kafka_rights import Right
from tests.support.certificates import Certificate

_SCRAM_SHA_512 = 2
_ITERATIONS = 4096
_KINDS = {"topic": 2, "group": 3, "cluster": 4}
_LITERAL, _PREFIXED = 3, 4
_ALLOW = 3
OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Ports of one broker: without any questions, for users, and for who has a certificate."""

    plain: int
    users: int
    certificates: int
    server: Certificate

    def for_user(self, name: str, password: str, mechanism: SaslMechanism = "SCRAM-SHA-512") -> KafkaAccess:
        return KafkaAccess(
            f"{LOOPBACK}:{self.users}",
            is_encrypted=True,
            authority=str(self.server.authority),
            mechanism=mechanism,
            username=name,
            password=SecretStr(password),
        )

    @property
    def for_certificate(self) -> KafkaAccess:
        """A server's certificate says as much of a client."""
        return KafkaAccess(
            f"{LOOPBACK}:{self.certificates}",
            is_encrypted=True,
            authority=str(self.server.authority),
            certificate=str(self.server.certificate),
            key=str(self.server.key),
        )

    @property
    def for_keeper(self) -> KafkaAccess:
        return KafkaAccess(f"{LOOPBACK}:{self.plain}")


def new_doors(ports: Ports, server: Certificate) -> Doors:
    users, certificates = free_ports(2)
    return Doors(plain=ports.kafka, users=users, certificates=certificates, server=server)


def properties(doors: Doors, ports: Ports, store: Path) -> str:
    """What a broker of the local stack needs for it; `store` is where its key goes, in Kafka's own order."""
    store.write_bytes(doors.server.key.read_bytes() + doors.server.certificate.read_bytes())
    names = {"PLAINTEXT": doors.plain, "USERS": doors.users, "CERTIFICATES": doors.certificates}
    addresses = [f"{name}://{LOOPBACK}:{port}" for name, port in names.items()]
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_plain="plain-password";'
    users = "listener.name.users"
    settings = {
        "listeners": ",".join([*addresses, f"CONTROLLER://{LOOPBACK}:{ports.kafka_controller}"]),
        "advertised.listeners": ",".join(addresses),
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_SSL,CERTIFICATES:SSL",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(doors.server.authority),
        "listener.name.certificates.ssl.client.auth": "required",
        f"{users}.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        f"{users}.scram-sha-512.sasl.jaas.config": scram,
        f"{users}.plain.sasl.jaas.config": plain,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


async def add_user(doors: Doors, name: str) -> str:
    """The password of somebody new, who may do nothing yet."""
    password, salt = secrets.token_urlsafe(16), secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    response = await _ask(doors, _AlterScram(name, salt, salted))
    assert [one[1] for one in response.results] == [0], response
    return password


async def grant(doors: Doors, principal: str, rights: Iterable[Right]) -> None:
    for right in rights:
        for operation in right.operations:
            await allow(doors, principal, right, OPERATIONS[operation])


async def allow(doors: Doors, principal: str, right: Right, operation: int) -> None:
    request = CreateAclsRequest(
        resource_type=_KINDS[right.kind],
        resource_name=right.name,
        resource_pattern_type_filter=_PREFIXED if right.is_prefix else _LITERAL,
        principal=principal,
        host="*",
        operation=operation,
        permission_type=_ALLOW,
    )
    response = await _ask(doors, request)
    assert [one[0] for one in response.creation_responses] == [0], response


async def _ask(doors: Doors, request: Request[Any]) -> Any:
    client = AIOKafkaAdminClient(bootstrap_servers=doors.for_keeper.bootstrap)
    await client.start()
    try:
        return await client._send_request(request)  # noqa: SLF001  # nothing public sends these
    finally:
        await client.close()


class _AlterScramResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScramStruct(RequestStruct):  # type: ignore[misc]  # as above
    """AlterUserScramCredentials (KIP-554)."""

    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlterScramResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScram(Request[_AlterScramStruct]):  # type: ignore[misc]  # as above
    API_KEY = 51

    def __init__(self, name: str, salt: bytes, salted: bytes) -> None:
        self._upsertion: tuple[Any, ...] = (name, _SCRAM_SHA_512, _ITERATIONS, salt, salted, {})

    def build(self, request_struct_class: type[_AlterScramStruct]) -> _AlterScramStruct:
        return request_struct_class([], [self._upsertion], {})
