"""How brokers are reached: where they are, what proves them to us, and what proves us to them.

Plain data, so that it can be given to another process. Files that were renewed serve the next client.
"""

import re
import ssl
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import SecretStr

from runtime.certificates import load_pair

SaslMechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
_ADDRESS = re.compile(r"\s*[^\s,]+:[0-9]{1,5}\s*")


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """`bootstrap` is `host:port` of some brokers, separated by commas.

    `authority`, `certificate` and `key` are PEM files: whom brokers' certificates must be from (empty: any that the
    system trusts), and what proves this client (empty: nothing). Without a user name there is no SASL (RFC 4422).
    """

    bootstrap: str
    _: KW_ONLY
    is_encrypted: bool = False
    authority: str = ""
    certificate: str = ""
    key: str = ""
    mechanism: SaslMechanism = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = field(default=SecretStr(""))

    def checked(self) -> Self:
        """ValueError with the variable to change, if this cannot work or would show a password to the network."""
        if not all(_ADDRESS.fullmatch(one) for one in self.bootstrap.split(",")):
            raise ValueError("CHANCERY_KAFKA_BOOTSTRAP is host:port of some brokers, separated by commas")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError(
                "CHANCERY_KAFKA_USERNAME and CHANCERY_KAFKA_PASSWORD belong together: set both or none"
            )
        if bool(self.certificate) != bool(self.key):
            raise ValueError(
                "CHANCERY_KAFKA_TLS_CERTIFICATE and CHANCERY_KAFKA_TLS_KEY belong together: set both or none"
            )
        if (self.username or self.authority or self.certificate) and not self.is_encrypted:
            raise ValueError(
                "CHANCERY_KAFKA_USERNAME and CHANCERY_KAFKA_TLS_… are for encrypted connections: set CHANCERY_KAFKA_TLS=on"
            )
        self.context()
        return self

    def context(self) -> ssl.SSLContext | None:
        """None for connections that are not encrypted.

        ValueError with the variable to change if a file cannot be read or holds something else; files that could be
        read before and are being replaced just now are as they were.
        """
        if not self.is_encrypted:
            return None
        files = (self.authority, self.certificate, self.key)
        versions, known = tuple(_version(file) for file in files), _contexts.get(files)
        if known is None or known[0] != versions:
            try:
                known = _contexts[files] = (versions, self._new_context())
            except ValueError:
                if known is None:
                    raise
        return known[1]

    def _new_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.authority or None)
        except OSError as error:
            raise ValueError(f"CHANCERY_KAFKA_TLS_AUTHORITY cannot be used: {error.strerror}") from None
        if self.certificate:
            try:
                load_pair(context, self.certificate, self.key)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise ValueError(
                    f"CHANCERY_KAFKA_TLS_CERTIFICATE with CHANCERY_KAFKA_TLS_KEY cannot be used: {reason}"
                ) from None
        return context

    def client_options(self) -> dict[str, Any]:
        """What a client of aiokafka is made with. ValueError as in `context`."""
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap}
        if self.is_encrypted:
            options |= {"security_protocol": "SSL", "ssl_context": self.context()}
        if self.username:
            options |= {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password.get_secret_value(),
            }
        return options


_contexts: dict[tuple[str, str, str], tuple[tuple[object, ...], ssl.SSLContext]] = {}
"""By files: their versions, and what was made of them. To read all that a system trusts takes 20 ms, which is not for each client."""


def _version(file: str) -> object:
    """None of no file, and of one that is not there."""
    if not file:
        return None
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
