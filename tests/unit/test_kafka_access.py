"""How brokers are reached: whose certificates are believed is read once, and anew when a file was renewed."""

import subprocess
import sys
from pathlib import Path
from shutil import copy

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import SecretStr

from runtime.kafka_access import KafkaAccess
from tests.support.certificates import Certificate, new_certificate


@pytest.fixture
def made(tmp_path: Path) -> Certificate:
    return new_certificate(tmp_path / "made", "127.0.0.1")


def access_of(made: Certificate) -> KafkaAccess:
    return KafkaAccess(
        "127.0.0.1:9",
        is_encrypted=True,
        authority=str(made.authority),
        certificate=str(made.certificate),
        key=str(made.key),
    )


def test_files_are_read_once_and_anew_when_they_were_renewed(made: Certificate, tmp_path: Path) -> None:
    access = access_of(made)
    first = access.context()
    assert access.context() is first
    other = new_certificate(tmp_path / "other", "127.0.0.1")
    for ours, new in ((made.certificate, other.certificate), (made.key, other.key)):
        copy(new, ours)
    assert access.context() is not first


def test_while_files_are_being_replaced_they_are_as_they_were(made: Certificate, tmp_path: Path) -> None:
    access = access_of(made)
    first = access.context()
    copy(new_certificate(tmp_path / "other", "127.0.0.1").key, made.key)
    assert access.context() is first
    made.key.unlink()
    assert access.context() is first


def test_a_key_that_wants_a_passphrase_is_refused_and_nobody_is_asked_for_it(made: Certificate) -> None:
    """In a process with an open standard input: OpenSSL would wait there."""
    key = load_pem_private_key(made.key.read_bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    made.key.write_bytes(encrypted)
    code = f"from runtime.kafka_access import KafkaAccess\n{access_of(made)!r}.checked()"
    code = code.replace("SecretStr('')", "__import__('pydantic').SecretStr('')")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.wait(20) == 1
        assert "the private key is encrypted" in process.stderr.read()


def test_passwords_are_not_shown() -> None:
    assert "quiet" not in repr(KafkaAccess("a:1", username="u", password=SecretStr("quiet")))
