"""What proves a process to others: a certificate and its private key, from PEM files."""

import ssl
from typing import NoReturn


def load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """OSError if a file cannot be read or they do not belong together; ValueError if the key wants a passphrase.

    OpenSSL would ask for it at the terminal, and wait.
    """
    context.load_cert_chain(certificate, key, password=_refuse)


def _refuse() -> NoReturn:
    raise ValueError("the private key is encrypted, and nobody is there to ask for its passphrase")
