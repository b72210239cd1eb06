"""How brokers are reached: where they are, what proves them to us, and what proves us to them.

Plain data, so that it can be given to another process. Files are read anew for every client, so a certificate that was
renewed serves the next one.
"""

import ssl
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, Self

from pydantic import SecretStr

SaslMechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


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
        try:
            self.context()
        except OSError as error:
            raise ValueError(
                f"a file of CHANCERY_KAFKA_TLS_… is not what it should be: {error.strerror}"
            ) from None
        return self

    def context(self) -> ssl.SSLContext | None:
        """None for connections that are not encrypted. OSError if a file cannot be read or holds something else."""
        if not self.is_encrypted:
            return None
        context = ssl.create_default_context(cafile=self.authority or None)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def client_options(self) -> dict[str, Any]:
        """What a client of aiokafka is made with. OSError as in `context`."""
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
