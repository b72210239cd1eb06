"""Ports: who listens where, and what is said when one is taken."""

import os
import socket

import pytest

from localstack.errors import StackError
from localstack.ports import (
    BROKERS,
    CLUSTER_PORTS,
    VARIABLES,
    Ports,
    check_free,
    free_port_variables,
    free_ports,
    is_free,
    load_ports,
)


def test_without_variables_the_ports_are_the_documented_ones() -> None:
    assert load_ports({}) == Ports()


def test_the_controller_is_next_to_kafka_unless_it_is_named() -> None:
    assert load_ports({"CHANCERY_LOCAL_KAFKA_PORT": "30000"}).kafka_controller == 30001
    named = {"CHANCERY_LOCAL_KAFKA_PORT": "30000", "CHANCERY_LOCAL_KAFKA_CONTROLLER_PORT": "40000"}
    assert load_ports(named).kafka_controller == 40000


@pytest.mark.parametrize("text", ["0", "65536", "-1", "many"])
def test_a_port_that_is_none_is_refused_with_its_variable(text: str) -> None:
    with pytest.raises(StackError, match="CHANCERY_COMMAND_PORT is"):
        load_ports({"CHANCERY_COMMAND_PORT": text})


def test_one_port_for_two_parts_is_refused() -> None:
    with pytest.raises(StackError, match="CHANCERY_QUERY_PORT and CHANCERY_COMMAND_PORT both mean port 8081"):
        load_ports({"CHANCERY_QUERY_PORT": "8081"})


def test_free_ports_are_free_and_all_different() -> None:
    chosen = free_ports(9)
    assert len(set(chosen)) == 9
    assert all(is_free(port) for port in chosen)


def test_free_port_variables_give_every_part_a_port() -> None:
    variables = free_port_variables()
    assert set(variables) == {*VARIABLES.values(), CLUSTER_PORTS}
    assert load_ports(variables).kafka == int(variables["CHANCERY_LOCAL_KAFKA_PORT"])


def test_a_taken_port_is_named_with_its_holder_and_the_variable_to_change() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(StackError) as raised:
            check_free(Ports(postgres=port), ("postgres",))
    sentence = str(raised.value)
    assert f"Port {port} for postgres is taken by process {os.getpid()} (" in sentence
    assert "CHANCERY_LOCAL_POSTGRES_PORT=<port>" in sentence


def test_a_cluster_has_three_brokers_next_to_one_another_unless_their_ports_are_named() -> None:
    assert load_ports({}).brokers == ((29092, 29093),)
    three = load_ports({BROKERS: "3"})
    assert three.brokers == ((29092, 29093), (29094, 29095), (29096, 29097))
    assert (three.kafka_2, three.kafka_3) == (29094, 29096)
    named = load_ports({BROKERS: "3", CLUSTER_PORTS: "30001,30002,30003,30004"})
    assert named.brokers[1:] == ((30001, 30002), (30003, 30004))
    assert load_ports({BROKERS: "1", CLUSTER_PORTS: "30001,30002,30003,30004"}).more_brokers == ()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({BROKERS: "2"}, "A local Kafka has 1 broker or 3"),
        ({BROKERS: "many"}, "A local Kafka has 1 broker or 3"),
        ({BROKERS: "3", CLUSTER_PORTS: "30001,30002"}, "has 2 ports and 4 are needed"),
        ({BROKERS: "3", CLUSTER_PORTS: "30001,30002,30003,x"}, "which is not a port"),
        ({BROKERS: "3", CLUSTER_PORTS: "30001,30002,30003,8081"}, "both mean port 8081"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(StackError, match=sentence):
        load_ports(variables)


def test_a_taken_port_of_a_cluster_is_named_too() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(StackError, match=f"Port {port} for a broker of 3 is taken"):
            check_free(Ports(more_brokers=(port, 1, 2, 3)), ())
