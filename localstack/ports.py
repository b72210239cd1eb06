"""Which port each part listens on, and whether it is free. Everything listens on 127.0.0.1 only."""

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from localstack.errors import StackError

LOOPBACK = "127.0.0.1"
LISTEN_STATE = "0A"
TEST_PORTS = range(20_000, 32_000)
"""Below Linux's ephemeral range, so that no outgoing connection takes a port between choice and use."""

BROKERS = "CHANCERY_LOCAL_KAFKA_BROKERS"
CLUSTER_PORTS = "CHANCERY_LOCAL_KAFKA_CLUSTER_PORTS"
CLUSTER_SIZE = 3
"""As many as it takes to lose one and go on."""

VARIABLES = {
    "kafka": "CHANCERY_LOCAL_KAFKA_PORT",
    "kafka_controller": "CHANCERY_LOCAL_KAFKA_CONTROLLER_PORT",
    "postgres": "CHANCERY_LOCAL_POSTGRES_PORT",
    "valkey": "CHANCERY_LOCAL_VALKEY_PORT",
    "mail": "CHANCERY_LOCAL_SMTP_PORT",
    "command": "CHANCERY_COMMAND_PORT",
    "query": "CHANCERY_QUERY_PORT",
    "grpc": "CHANCERY_GRPC_PORT",
    "projectors": "CHANCERY_PROJECTORS_PORT",
    "mailer": "CHANCERY_MAILER_PORT",
    "relay": "CHANCERY_RELAY_PORT",
    "risk": "CHANCERY_RISK_PORT",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    kafka: int = 29092
    kafka_controller: int = 29093
    postgres: int = 25432
    valkey: int = 26380
    mail: int = 21025
    command: int = 8081
    query: int = 8082
    grpc: int = 8083
    projectors: int = 8084
    mailer: int = 8085
    relay: int = 8086
    risk: int = 8087
    more_brokers: tuple[int, ...] = ()
    """Of the second and the third broker of a cluster: each one's port and its controller's."""

    @property
    def kafka_2(self) -> int:
        return self.more_brokers[0]

    @property
    def kafka_3(self) -> int:
        return self.more_brokers[2]

    @property
    def brokers(self) -> tuple[tuple[int, int], ...]:
        """Port and controller's port of each."""
        more = self.more_brokers
        return ((self.kafka, self.kafka_controller), *zip(more[::2], more[1::2], strict=True))


def load_ports(environment: Mapping[str, str]) -> Ports:
    """The ports that the environment asks for; the controller's is next to Kafka's unless it is named."""
    chosen: dict[str, Any] = {
        name: _port(variable, environment[variable])
        for name, variable in VARIABLES.items()
        if environment.get(variable)
    }
    if "kafka" in chosen:
        chosen.setdefault("kafka_controller", chosen["kafka"] + 1)
    ports = Ports(**chosen)
    ports = replace(ports, more_brokers=_more_brokers(environment, ports))
    by_port: dict[int, str] = {}
    named = [
        (VARIABLES[field.name], getattr(ports, field.name))
        for field in fields(Ports)
        if field.name in VARIABLES
    ]
    for variable, number in (*named, *((CLUSTER_PORTS, number) for number in ports.more_brokers)):
        if number in by_port:
            raise StackError(
                f"{variable} and {by_port[number]} both mean port {number}. Give one of them another."
            )
        by_port[number] = variable
    return ports


def _more_brokers(environment: Mapping[str, str], ports: Ports) -> tuple[int, ...]:
    """None for one broker; for a cluster those that are named, else the ones after the first broker's."""
    size = environment.get(BROKERS) or "1"
    if size not in ("1", str(CLUSTER_SIZE)):
        raise StackError(f"{BROKERS} is {size!r}. A local Kafka has 1 broker or {CLUSTER_SIZE}.")
    if size == "1":
        return ()
    count = 2 * (CLUSTER_SIZE - 1)
    named = environment.get(CLUSTER_PORTS)
    if not named:
        return tuple(ports.kafka + 2 + number for number in range(count))
    chosen = tuple(_port(CLUSTER_PORTS, text) for text in named.split(","))
    if len(chosen) != count:
        raise StackError(
            f"{CLUSTER_PORTS} has {len(chosen)} ports and {count} are needed, separated by commas."
        )
    return chosen


def check_free(ports: Ports, names: tuple[str, ...]) -> None:
    """Raise with the port, its holder and the variable to change when one of the ports is taken."""
    cluster = [(f"a broker of {CLUSTER_SIZE}", CLUSTER_PORTS, port) for port in ports.more_brokers]
    for name, variable, port in (
        *((name, VARIABLES[name], getattr(ports, name)) for name in names),
        *cluster,
    ):
        if is_free(port):
            continue
        raise StackError(
            f"Port {port} for {name} is taken by {_holder(port)}. "
            f"Stop that, or choose another port with {variable}=<port>.",
        )


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now, chosen at random so that parallel test runs rarely meet."""
    chosen: list[int] = []
    for port in random.sample(TEST_PORTS, len(TEST_PORTS)):
        if is_free(port):
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise StackError(f"There are no {count} free ports between {TEST_PORTS.start} and {TEST_PORTS.stop}.")


def free_port_variables(*parts: str) -> dict[str, str]:
    """Environment variables that give every part, or these, a free port of its own."""
    if parts:
        ports = (str(port) for port in free_ports(len(parts)))
        return {VARIABLES[part]: port for part, port in zip(parts, ports, strict=True)}
    more = 2 * (CLUSTER_SIZE - 1)
    chosen = [str(port) for port in free_ports(len(VARIABLES) + more)]
    return {**dict(zip(VARIABLES.values(), chosen, strict=False)), CLUSTER_PORTS: ",".join(chosen[-more:])}


def _port(variable: str, text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 2**16:
        return int(text)
    raise StackError(f"{variable} is {text!r}, which is not a port. Give a number from 1 to 65535.")


def _holder(port: int) -> str:
    """`process 12 (java)` where /proc tells, else `another process`."""
    inode = _listening_inode(port)
    for link in Path("/proc").glob("[0-9]*/fd/*") if inode else ():
        try:
            is_holder = str(link.readlink()) == f"socket:[{inode}]"
        except OSError:
            continue
        if is_holder:
            folder = link.parent.parent
            return f"process {folder.name} ({(folder / 'comm').read_text().strip()})"
    return "another process"


def _listening_inode(port: int) -> str | None:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTEN_STATE and int(columns[1].rpartition(":")[2], 16) == port:
                return columns[9]
    return None
