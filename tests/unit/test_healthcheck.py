"""What the image's HEALTHCHECK says, and of whom."""

from cli.healthcheck import PORTS, answers, main, process_of
from localstack.part import PROCESSES
from localstack.ports import free_ports
from runtime.settings import Settings


def test_it_knows_every_process_and_its_port() -> None:
    fields = Settings.model_fields
    assert {name: fields[f"{name}_port"].default for name in PROCESSES} == PORTS


def test_it_finds_what_the_container_was_started_with() -> None:
    assert process_of(["/sbin/docker-init", "--", "chancery", "serve", "relay"]) == "relay"
    assert process_of(["python", "-P", "-m", "cli.main", "serve", "query", ""]) == "query"
    assert process_of(["chancery", "provision"]) is None
    assert process_of(["chancery", "serve"]) is None


def test_who_does_not_listen_is_not_well() -> None:
    (port,) = free_ports(1)
    assert not answers("command", "ready", {"CHANCERY_COMMAND_PORT": str(port)})


def test_it_refuses_what_it_does_not_know() -> None:
    assert [main(words) for words in ((), ("well",), ("live", "kafka"))] == [2, 2, 2]
