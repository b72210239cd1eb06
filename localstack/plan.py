"""What a stack in one home consists of: its ports, its parts, and the settings that follow from them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from localstack.inbox import inbox_file
from localstack.jars import Jars
from localstack.kafka import KAFKA_PROPERTIES, kafka
from localstack.part import PROCESSES, Part
from localstack.ports import Ports
from localstack.postgres import postgres
from localstack.probes import http_is_ready, smtp_answers
from localstack.settings_files import POSTGRES_PASSWORD, load_or_make_secrets, local_settings
from localstack.state import Selection
from localstack.valkey import valkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    home: Path
    environment: Mapping[str, str]
    """What every child gets: the caller's, with CHANCERY_HOME."""
    ports: Ports
    derived: Mapping[str, str]
    """What local.env says."""
    infrastructure: tuple[Part, ...]
    processes: tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.infrastructure + self.processes

    @property
    def settings(self) -> dict[str, str]:
        """The derived settings as Chancery's processes see them: the caller's own variables win."""
        return {name: self.environment.get(name, value) for name, value in self.derived.items()}


def make_plan(home: Path, environment: Mapping[str, str], ports: Ports, selection: Selection) -> Plan:
    password = load_or_make_secrets(home / "secrets.env")[POSTGRES_PASSWORD]
    return Plan(
        home=home,
        environment={**environment, "CHANCERY_HOME": str(home)},
        ports=ports,
        derived=local_settings(ports, password),
        infrastructure=(
            postgres(home, ports, password),
            *kafka(home, ports, Jars.of(home, environment), environment.get(KAFKA_PROPERTIES, "")),
            valkey(home, ports),
            _mail(home, ports),
        ),
        processes=tuple(_process(name, ports) for name in PROCESSES) if selection == "all" else (),
    )


def _mail(home: Path, ports: Ports) -> Part:
    return Part(
        name="mail",
        command=(sys.executable, "-m", "localstack.mailcatcher", str(ports.mail), str(inbox_file(home))),
        answers=partial(smtp_answers, ports.mail),
    )


def _process(name: str, ports: Ports) -> Part:
    return Part(
        name=name,
        command=(sys.executable, "-m", "cli.main", "serve", name),
        answers=partial(http_is_ready, getattr(ports, name)),
    )
