"""Why a broker does not serve us, for whoever can change it. aiokafka's clients only say that none could be reached."""

import asyncio
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

_SECONDS = 2.0
_NAME_MISMATCH = {62, 64}
"""OpenSSL's codes of a certificate that is of another host name or IP address."""


async def refusal(access: KafkaAccess) -> str:
    """A sentence without a colon or an address, of some broker that has a reason; empty if none does, or none is there."""
    options = access.client_options()
    hosts = collect_hosts(options.pop("bootstrap_servers"))
    asking = [asyncio.ensure_future(_reason(host, port, options, access)) for host, port, _ in hosts]
    done, late = await asyncio.wait(asking, timeout=_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return max((task.result() for task in done), key=len, default="")


async def _reason(host: str, port: int, options: Mapping[str, Any], access: KafkaAccess) -> str:
    try:
        await _ask(host, port, options)
    except CLIENT_FAILURES as error:
        return _sentence(error, access)
    return ""


async def _ask(host: str, port: int, options: Mapping[str, Any]) -> None:
    """Something that a broker tells only to whom it knows."""
    connection = await create_conn(host, port, request_timeout_ms=int(_SECONDS * 1000), **options)
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
        case ssl.SSLCertVerificationError() if error.verify_code in _NAME_MISMATCH:
            return "its certificate is not good for the address in CHANCERY_KAFKA_BOOTSTRAP"
        case ssl.SSLCertVerificationError():
            believed = "CHANCERY_KAFKA_TLS_AUTHORITY" if access.authority else "what the system trusts"
            return f"its certificate is not believed by {believed} ({error.verify_message})"
        case ssl.SSLError() | KafkaConnectionError() | ConnectionResetError():
            return f"it hangs up, because it stops or wants something else than {_what_we_want(access)}"
    return ""


def _what_we_want(access: KafkaAccess) -> str:
    encryption = f"CHANCERY_KAFKA_TLS={'on' if access.is_encrypted else 'off'}"
    shown = {"CHANCERY_KAFKA_USERNAME": access.username, "CHANCERY_KAFKA_TLS_CERTIFICATE": access.certificate}
    proofs = " and ".join(name for name, value in shown.items() if value)
    return f"{encryption} with {proofs or 'nothing that says who asks'}"
