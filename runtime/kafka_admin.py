"""Kafka's topics: made, and asked how they are set and who may do what with them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NodeNotReadyError, SecurityDisabled, TopicAlreadyExistsError, for_code
from aiokafka.protocol.admin import DescribeAclsRequest
from aiokafka.protocol.api import Response

from runtime.kafka import CLIENT_FAILURES, KafkaUnavailableError
from runtime.kafka_access import KafkaAccess
from runtime.kafka_acls import Acls, acls_of
from runtime.kafka_refusal import refusal

T = TypeVar("T")

_REQUEST_MS = 3000
_PAUSE_SECONDS = 0.1
_FORBIDDEN = frozenset({29, 30, 31})
"""Kafka's error codes of rights that are lacking: for a topic, a group, the cluster."""
_INSIST_SECONDS = 10.0
"""How long a request is repeated: the library sends it to any broker, also to one that is down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    name: str
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """`copies` and `in_sync` are those of the partition that has the fewest."""

    partitions: int
    copies: int
    in_sync: int


class KafkaForbiddenError(KafkaUnavailableError):
    """This client's user lacks the right to ask that. Somebody may give it to him at any time."""


class KafkaAdmin:
    """Every method: KafkaUnavailableError, and of that KafkaForbiddenError."""

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def create(self, spec: TopicSpec) -> None:
        """Create the topic unless it exists; a topic that exists keeps its settings."""
        topic = NewTopic(
            spec.name, spec.partitions, spec.replication_factor, topic_configs=dict(spec.settings)
        )
        with contextlib.suppress(TopicAlreadyExistsError):
            response = await _insist(lambda: self._create(topic))
            for error in response.topic_errors:
                if error[1] not in (0, TopicAlreadyExistsError.errno):
                    raise KafkaUnavailableError(f"cannot create topic {spec.name}: {error[2]}")

    async def _create(self, topic: NewTopic) -> Response:
        try:
            return await self._client.create_topics([topic])
        except AttributeError:  # aiokafka 0.14 asks the controller for its address also where there is none
            raise NodeNotReadyError("the cluster has no controller at the moment") from None

    async def partition_count(self, topic: str) -> int:
        """How many partitions the topic has, 0 if there is no such topic."""
        return len(await self._partitions(topic))

    async def state(self, topic: str) -> TopicState | None:
        """None if there is no such topic."""
        found = await self._partitions(topic)
        if not found:
            return None
        return TopicState(
            partitions=len(found),
            copies=min(len(one["replicas"]) for one in found),
            in_sync=min(len(one["isr"]) for one in found),
        )

    async def _partitions(self, topic: str) -> Sequence[Mapping[str, Any]]:
        described = await _insist(lambda: self._client.describe_topics([topic]))
        for one in described:
            _permitted(one["error_code"], f"see topic {topic}")
        return [partition for one in described if one["error_code"] == 0 for partition in one["partitions"]]

    async def brokers(self) -> int:
        """How many are there now."""
        return len((await _insist(self._client.describe_cluster))["brokers"])

    async def settings(self, topic: str) -> Mapping[str, str]:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        responses = await _insist(lambda: self._client.describe_configs([resource]))
        resources = [resource for response in responses for resource in response.resources]
        for code, *_ in resources:
            _permitted(code, f"see the settings of topic {topic}")
        return {entry[0]: str(entry[1]) for resource in resources for entry in resource[4]}

    async def acls(self, question: DescribeAclsRequest) -> Acls | None:
        """What entries there are, those with wildcards among them; None if brokers check no rights."""
        response = await _insist(lambda: self._client._send_request(question))  # noqa: SLF001  # nothing public asks it
        if response.error_code == SecurityDisabled.errno:
            return None
        _permitted(response.error_code, "see ACLs")
        if response.error_code:
            raise KafkaUnavailableError(f"ACLs: {for_code(response.error_code).__name__}")
        return acls_of(response)


def _permitted(code: int, what: str) -> None:
    if code in _FORBIDDEN:
        raise KafkaForbiddenError(f"Kafka: this user may not {what}")


async def _insist(request: Callable[[], Awaitable[T]]) -> T:
    """Ask until some broker answers: one of several may be down and still be asked."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _INSIST_SECONDS
    while True:
        try:
            return await request()
        except TopicAlreadyExistsError:
            raise
        except NotImplementedError as error:  # aiokafka raises it where a broker speaks none of its versions
            raise KafkaUnavailableError(f"Kafka: {error}") from None
        except CLIENT_FAILURES as error:
            is_final = isinstance(error, KafkaError) and not error.retriable
            if is_final or loop.time() > until:
                raise KafkaUnavailableError(f"Kafka: {type(error).__name__}") from None
            await asyncio.sleep(_PAUSE_SECONDS)


@contextlib.asynccontextmanager
async def open_admin(access: KafkaAccess) -> AsyncIterator[KafkaAdmin]:
    """KafkaUnavailableError says why brokers refuse us, where they do."""
    client = AIOKafkaAdminClient(**access.client_options(), request_timeout_ms=_REQUEST_MS)
    try:
        await _start(client, access)
        yield KafkaAdmin(client)
    finally:
        await client.close()


async def _start(client: AIOKafkaAdminClient, access: KafkaAccess) -> None:
    try:
        await client.start()
    except CLIENT_FAILURES as error:
        reason = await refusal(access) or type(error).__name__
        raise KafkaUnavailableError(f"Kafka at {access.bootstrap}: {reason}") from None
