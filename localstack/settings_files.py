"""The two files through which Chancery's processes learn of the local stack: secrets.env and local.env.

Secrets are generated once and kept; local.env is rewritten at every start and follows from the ports.
"""

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from localstack.ports import LOOPBACK, Ports
from runtime.settings import DEVELOPMENT_MARK, SECRET_BYTES

POSTGRES_PASSWORD = "CHANCERY_LOCAL_POSTGRES_PASSWORD"  # noqa: S105 - the name of a variable, not a password
PRIVATE = 0o600


def load_or_make_secrets(path: Path) -> dict[str, str]:
    """The secrets of this home; missing ones are generated and saved, present ones never change."""
    found = parse(path.read_text()) if path.exists() else {}
    wanted = {
        "CHANCERY_SECRET_KEY": _development_key(),
        "CHANCERY_KEY_ENCRYPTION_KEY": _development_key(),
        POSTGRES_PASSWORD: secrets.token_urlsafe(24),
    }
    complete = {**wanted, **found}
    if complete != found:
        write_private(path, render(complete))
    return complete


def local_settings(ports: Ports, postgres_password: str) -> dict[str, str]:
    """The settings of Chancery's processes that follow from where the parts listen."""
    query_url = f"http://{LOOPBACK}:{ports.query}"
    return {
        "CHANCERY_KAFKA_BOOTSTRAP": ",".join(f"{LOOPBACK}:{port}" for port, _ in ports.brokers),
        "CHANCERY_REPLICATION_FACTOR": str(len(ports.brokers)),
        "CHANCERY_POSTGRES_DSN": f"postgresql://postgres:{postgres_password}@{LOOPBACK}:{ports.postgres}/postgres",
        "CHANCERY_REDIS_URL": f"redis://{LOOPBACK}:{ports.valkey}/0",
        "CHANCERY_SMTP_PORT": str(ports.mail),
        "CHANCERY_SMTP_TLS": "none",
        "CHANCERY_COMMAND_PORT": str(ports.command),
        "CHANCERY_QUERY_PORT": str(ports.query),
        "CHANCERY_GRPC_PORT": str(ports.grpc),
        "CHANCERY_PROJECTORS_PORT": str(ports.projectors),
        "CHANCERY_MAILER_PORT": str(ports.mailer),
        "CHANCERY_RELAY_PORT": str(ports.relay),
        "CHANCERY_RISK_PORT": str(ports.risk),
        "CHANCERY_COMMAND_URL": f"http://{LOOPBACK}:{ports.command}",
        "CHANCERY_QUERY_URL": query_url,
        "CHANCERY_ISSUER": query_url,
        "CHANCERY_CHANGED_READ_MODELS": "in-place",
    }


def render(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def parse(text: str) -> dict[str, str]:
    """Names and values of a file that `render` wrote; blank lines and comments are skipped."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; nobody but its owner ever could read it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE), "w") as file:  # noqa: PTH123 - by descriptor
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _development_key() -> str:
    return DEVELOPMENT_MARK + base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
