"""An authority that exists for one test, and what it signs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """PEM files: who signed, what was signed, and its private key."""

    authority: Path
    certificate: Path
    key: Path

    def server_context(self) -> SSLContext:
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def new_certificate(folder: Path, address: str, *, ended: bool = False) -> Certificate:
    """For the host at this IP address, by an authority of its own; `ended` yesterday, or good for an hour."""
    folder.mkdir(parents=True)
    made = Certificate(
        authority=folder / "authority.pem", certificate=folder / "server.pem", key=folder / "key.pem"
    )
    signing, own = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of a test")])
    authority = (
        _begun(issuer, issuer, signing, ended=ended)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(signing, SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of a test")])
    certificate = (
        _begun(subject, issuer, own, ended=ended)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(signing, SHA256())
    )
    made.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    made.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    made.key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def _begun(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, *, ended: bool
) -> x509.CertificateBuilder:
    until = datetime.now(UTC) + (-24 * LIFETIME if ended else LIFETIME)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 2 * LIFETIME)
        .not_valid_after(until)
    )
