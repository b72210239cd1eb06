"""Why a broker does not serve us, for whoever can change it. aiokafka's clients only say that none could be reached."""

import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from runtime.kafka import CLIENT_FAILURES
from runtime.kafka_access import KafkaAccess

_CONNECT_MS = 2000


async def refusal(access: KafkaAccess) -> str:
    """A sentence without a colon, of the first broker that has a reason; empty if none does, or none is there."""
    options = access.client_options()
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
        try:
            await _ask(host, port, options)
        except CLIENT_FAILURES as error:
            if reason := _sentence(error, access):
                return reason
    return ""


async def _ask(host: str, port: int, options: Mapping[str, Any]) -> None:
    """Something that a broker tells only to whom it knows."""
    connection = await create_conn(host, port, request_timeout_ms=_CONNECT_MS, **options)
    try:
        await connection.send(MetadataRequest([]))
    finally:
        connection.close()


def _sentence(error: Exception, access: KafkaAccess) -> str:
    match error:
        case SaslAuthenticationFailed():
            return "it refuses CHANCERY_KAFKA_USERNAME with this password"
        case UnsupportedSaslMechanismError():
            return f"it does not take CHANCERY_KAFKA_SASL_MECHANISM={access.mechanism}"
        case IllegalSaslStateError():
            return "it takes no user names at this port, so unset CHANCERY_KAFKA_USERNAME"
        case ssl.SSLCertVerificationError():
            believed = "CHANCERY_KAFKA_TLS_AUTHORITY" if access.authority else "what the system trusts"
            return f"its certificate is not believed by {believed} ({error.verify_message})"
        case ssl.SSLError() | KafkaConnectionError() | ConnectionResetError():
            return f"it hangs up, as if it wanted something else than {_what_we_want(access)}"
    return ""


def _what_we_want(access: KafkaAccess) -> str:
    encryption = "CHANCERY_KAFKA_TLS=on" if access.is_encrypted else "CHANCERY_KAFKA_TLS=off"
    return f"{encryption} {'with' if access.username else 'without'} CHANCERY_KAFKA_USERNAME"
