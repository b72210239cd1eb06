"""k8s/: every object is valid, our pods may do nothing that they need not, and everything named in it exists."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml

from cli.healthcheck import PORTS
from eventstore.provision import Topics, specs_of
from localstack.part import PROCESSES
from runtime.kafka_rights import USER_PREFIX, Names, rights
from runtime.settings import Settings
from tests.support.checkov import complaints
from tests.support.containers import EXACT_TAG, ROOT
from tests.support.crds import schema_file
from tests.support.kubernetes import (
    WORKLOADS,
    Object,
    containers,
    is_closed,
    labels_of,
    name_of,
    of_kind,
    pods,
    reached,
    render,
)

OVERLAYS = ("local", "production")
VERSION = "1.34"
DNS = {"kube-system/kube-dns:53"}
SPANS = {"chancery/monitoring:4318"}
SMTP = {"local": {"mail:1025"}, "production": {"0.0.0.0/0:587", "0.0.0.0/0:465"}}
TALKS_TO = {
    "command": {"kafka:9092", "postgres:5432", "valkey:6379", "command:8091"},
    "query": {"postgres:5432", "valkey:6379"},
    "projectors": {"kafka:9092", "postgres:5432", "valkey:6379"},
    "mailer": {"kafka:9092", "postgres:5432", "command:8081"},
    "relay": {"kafka:9092", "postgres:5432"},
    "risk": {"kafka:9092", "command:8081"},
    "provision": {"kafka:9092", "postgres:5432"},
}
OPENED_BY = {"kafka": r"wait_for_topics|KafkaLog\(", "postgres": r"Postgres\.open", "valkey": r"Valkey\.open"}
"""How the wiring of a process shows that it uses a store."""
WIRING = {
    "command": ("command_api/app.py", "command_api/open_writer.py", "command_api/fellows.py"),
    "query": ("query_api/app.py",),
    "projectors": ("projectors/app.py",),
    "mailer": ("projectors/mailer_app.py",),
    "relay": ("projectors/relay_app.py",),
    "risk": ("projectors/risk_app.py",),
    "provision": ("cli/provision.py",),
}
SECRETS = {
    "local": {"chancery-keys", "chancery-postgres-app", "chancery-valkey"},
    "production": {
        "chancery-keys", "chancery-postgres-app", "chancery-valkey", "chancery-smtp", "chancery-internal-tls",
        "chancery-cluster-ca-cert", *(f"{USER_PREFIX}{user}" for user in rights(Names.usual())),
    },
}  # fmt: skip
ON_PURPOSE = {
    "CKV_K8S_11": "no limit of CPU: who may not use an idle core answers later for nothing",
    "CKV_K8S_15": "a version's tag is never moved, so an image that is there need not be asked for again",
    "CKV_K8S_22": "on one machine, Kafka's start script writes into the image's own folders",
    "CKV_K8S_35": "keys as variables: who prefers files has CHANCERY_KEY_ENCRYPTION_KEY_FILE",
    "CKV_K8S_40": "stores' images have users of their own, below 10000",
    "CKV_K8S_43": "digests are for whoever has a registry: images are named in his overlay",
}
"""checkov's rules that we do not follow, each with its reason."""
OF_STORES = {"CKV_K8S_22", "CKV_K8S_40"}
STORES = {f"StatefulSet.{name}" for name in ("kafka", "postgres", "valkey")}
WRITES_ITS_OWN_ROOT = {"kafka"}
SETTINGS = {f"CHANCERY_{name.upper()}" for name in Settings.model_fields} | {"CHANCERY_HOME"}
overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def stores(overlay: str) -> Mapping[str, Object]:
    """The pods that operators will make, by the labels that they are told to give them."""
    if overlay == "local":
        return {}
    (kafka,) = of_kind(overlay, "Kafka")
    (postgres,) = of_kind(overlay, "Cluster")
    (valkey,) = of_kind(overlay, "Redis")
    return {
        "kafka": kafka["spec"]["kafka"]["template"]["pod"],
        "postgres": {"metadata": postgres["spec"]["inheritedMetadata"]},
        "valkey": {"metadata": valkey["metadata"]},
    }


def settings_given(overlay: str) -> Object:
    (config,) = (one for one in of_kind(overlay, "ConfigMap") if name_of(one).startswith("chancery-"))
    return config


@overlays
def test_every_object_is_valid(overlay: str) -> None:
    for one in render(overlay):
        file = schema_file(one["apiVersion"], one["kind"])
        if file.exists():
            jsonschema.validate(one, json.loads(file.read_text()))
        else:
            kubernetes_validate.validate(dict(one), VERSION, strict=True)


def test_what_is_misspelled_is_not_valid() -> None:
    (kafka,) = of_kind("production", "Kafka")
    schema = json.loads(schema_file(kafka["apiVersion"], "Kafka").read_text())
    with pytest.raises(jsonschema.ValidationError, match="listenerz"):
        jsonschema.validate({**kafka, "spec": {"kafka": {"listenerz": []}}}, schema)
    (policy, *_) = of_kind("local", "NetworkPolicy")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**policy, "spec": {**policy["spec"], "policyType": []}}, VERSION, strict=True
        )


def test_a_linter_complains_of_what_is_on_purpose_and_of_nothing_else(tmp_path: Path) -> None:
    found = {one for overlay in OVERLAYS for one in complaints(overlay, tmp_path)}
    assert {rule for rule, _ in found} == set(ON_PURPOSE)
    assert {one for rule, one in found if rule in OF_STORES} <= STORES


@overlays
def test_no_object_is_there_twice_and_all_are_in_one_namespace(overlay: str) -> None:
    names = [(one["kind"], name_of(one)) for one in render(overlay)]
    assert len(set(names)) == len(names)
    assert {one["metadata"].get("namespace", name_of(one)) for one in render(overlay)} == {"chancery"}


@overlays
def test_every_pod_is_as_restricted_as_kubernetes_knows(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert {kind for volume in spec.get("volumes", ()) for kind in volume} <= {
            "name",
            "emptyDir",
            "secret",
        }, name
        for one in containers(pod):
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": name not in WRITES_ITS_OWN_ROOT,
                "capabilities": {"drop": ["ALL"]},
            }, name


@overlays
def test_every_container_has_an_exact_image_and_bounded_memory(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        for one in containers(pod):
            assert EXACT_TAG.search(one["image"]) or one["image"] == "localhost/chancery:local", name
            assert set(one["resources"]["requests"]) == {"cpu", "memory"}, name
            assert set(one["resources"]["limits"]) == {"memory"}, name


@overlays
def test_every_process_runs_and_is_asked_at_its_port(overlay: str) -> None:
    for name in PROCESSES:
        (container,) = containers(pods(overlay)[name])
        assert container["args"] == ["serve", name]
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        assert ports["http"] == PORTS[name]
        probes = {
            probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")
        }
        live, ready = ({"path": f"/health/{word}", "port": "http"} for word in ("live", "ready"))
        assert probes == {"startup": live, "liveness": live, "readiness": ready}


@overlays
def test_a_process_outlives_what_it_still_has_to_do(overlay: str) -> None:
    """docs/how-to/restart.md: longer than a proxy needs to believe it, and 10 seconds for what was accepted."""
    config = settings_given(overlay)
    leave_seconds = float(config["data"]["CHANCERY_LEAVE_SECONDS"])
    for name in PROCESSES:
        pod = pods(overlay)[name]["spec"]
        assert pod["terminationGracePeriodSeconds"] >= leave_seconds + 10
        readiness = pod["containers"][0]["readinessProbe"]
        if name in ("command", "query"):
            checks_seconds = readiness["periodSeconds"] * readiness["failureThreshold"]
            assert leave_seconds > checks_seconds + readiness["timeoutSeconds"]


@overlays
def test_every_process_is_spread_has_a_budget_and_an_account_without_rights(overlay: str) -> None:
    budgets = {name_of(one): one["spec"] for one in of_kind(overlay, "PodDisruptionBudget")}
    accounts = {name_of(one): one for one in of_kind(overlay, "ServiceAccount")}
    for name in PROCESSES:
        pod = pods(overlay)[name]
        labels = {"app.kubernetes.io/name": "chancery", "app.kubernetes.io/component": name}
        assert budgets[name]["selector"] == {"matchLabels": labels}
        assert labels.items() <= labels_of(pod).items()
        keys = [one["topologyKey"] for one in pod["spec"]["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert pod["spec"]["serviceAccountName"] == name
        assert accounts[name]["automountServiceAccountToken"] is False
    assert of_kind(overlay, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding") == []


@overlays
@pytest.mark.parametrize("name", list(TALKS_TO))
def test_a_process_reaches_what_it_needs_and_nothing_else(overlay: str, name: str) -> None:
    wanted = TALKS_TO[name] | DNS | SPANS | (SMTP[overlay] if name == "mailer" else set())
    assert reached(overlay, name, stores(overlay)) == wanted


@pytest.mark.parametrize("name", list(TALKS_TO))
def test_what_a_process_reaches_is_what_its_wiring_opens(name: str) -> None:
    code = "".join((ROOT / file).read_text() for file in WIRING[name])
    opened = {store for store, pattern in OPENED_BY.items() if re.search(pattern, code)}
    assert opened == {place.partition(":")[0] for place in TALKS_TO[name]} - {"command"}


@overlays
def test_everybody_is_closed_in_both_directions(overlay: str) -> None:
    for name in (*PROCESSES, "provision", "valkey"):
        pod = {**pods(overlay), **stores(overlay)}[name]
        assert is_closed(overlay, pod, "Ingress"), name
        assert is_closed(overlay, pod, "Egress"), name
    assert reached(overlay, "valkey", stores(overlay)) == set()
    for pod in stores(overlay).values():
        store = labels_of(pod)["chancery/store"]
        assert is_closed(overlay, pod, "Ingress") or store == "kafka"


def test_strimzi_lets_in_who_uses_kafka() -> None:
    (kafka,) = of_kind("production", "Kafka")
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    assert listener["networkPolicyPeers"] == [
        {"podSelector": {"matchLabels": {"chancery/uses-kafka": "yes"}}}
    ]


@overlays
def test_every_variable_is_a_setting_and_no_secret_stands_here(overlay: str) -> None:
    literals = {key: value for one in of_kind(overlay, "ConfigMap") for key, value in one["data"].items()}
    said = set(literals)
    for pod in pods(overlay).values():
        for container in containers(pod):
            said |= {one["name"] for one in container.get("env", ())}
    assert {name for name in said if name.startswith("CHANCERY_")} <= SETTINGS
    assert {name for name in literals if re.search("KEY$|KEYS_|PASSWORD|DSN|REDIS_URL", name)} == set()
    assert of_kind(overlay, "Secret") == []


@overlays
def test_the_secrets_it_wants_are_those_that_the_page_makes(overlay: str) -> None:
    page = (ROOT / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text()
    text = yaml.safe_dump_all([dict(pod) for pod in pods(overlay).values()])
    named = set(re.findall(r"secretName: (\S+)", text))
    for pod in pods(overlay).values():
        for container in containers(pod):
            named |= {one["secretRef"]["name"] for one in container.get("envFrom", ()) if "secretRef" in one}
            values = [one["valueFrom"] for one in container.get("env", ()) if "valueFrom" in one]
            named |= {value["secretKeyRef"]["name"] for value in values if "secretKeyRef" in value}
    assert named == SECRETS[overlay]
    assert {name for name in named if f"`{name}`" not in page} == set()


@overlays
def test_the_settings_of_production_are_accepted(
    overlay: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = settings_given(overlay)
    key = "A" * 43
    given: dict[str, Any] = {
        name.removeprefix("CHANCERY_").lower(): value for name, value in config["data"].items()
    }
    settings = Settings(**given, secret_key=key, key_encryption_key=key, _env_file=None)
    assert settings.mode == "production"


@overlays
def test_passkeys_are_used_where_the_command_api_is(overlay: str) -> None:
    """Over a name, because no passkey belongs to an IP address."""
    given = settings_given(overlay)["data"]
    origin = given["CHANCERY_COMMAND_URL"].replace("127.0.0.1", "localhost")
    assert given.get("CHANCERY_PASSKEY_ORIGINS") == origin
    assert given.get("CHANCERY_PASSKEY_RP_ID") == urlsplit(origin).hostname
    assert given.get("CHANCERY_TOTP_ISSUER")


def test_topics_are_those_that_provision_makes() -> None:
    config = settings_given("production")
    partitions, replicas = (
        int(config["data"][f"CHANCERY_{name}"]) for name in ("PARTITIONS", "REPLICATION_FACTOR")
    )
    fields = Settings.model_fields
    topics = Topics(
        events=fields["events_topic"].default,
        keys=fields["keys_topic"].default,
        public=fields["public_topic"].default,
        partitions=partitions,
        replication_factor=replicas,
    )
    wanted = {
        spec.name: {
            "partitions": spec.partitions,
            "replicas": spec.replication_factor,
            "config": dict(spec.settings),
        }
        for spec in specs_of(topics)
    }
    assert {name_of(one): one["spec"] for one in of_kind("production", "KafkaTopic")} == wanted


def test_users_of_kafka_have_the_rights_that_processes_need_and_no_others() -> None:
    wanted = {
        f"{USER_PREFIX}{user}": [
            (right.kind, "" if right.kind == "cluster" else right.name, right.is_prefix, right.operations)
            for right in own
        ]
        for user, own in rights(Names.usual()).items()
    }
    found = {}
    for one in of_kind("production", "KafkaUser"):
        assert one["spec"]["authentication"] == {"type": "scram-sha-512"}
        found[name_of(one)] = [
            (
                acl["resource"]["type"],
                acl["resource"].get("name", ""),
                acl["resource"].get("patternType") == "prefix",
                tuple(acl["operations"]),
            )
            for acl in one["spec"]["authorization"]["acls"]
        ]
    assert found == wanted


@pytest.mark.parametrize("name", [name for name, places in TALKS_TO.items() if "kafka:9092" in places])
def test_a_process_shows_itself_to_kafka_as_its_own_user(name: str) -> None:
    (container,) = pods("production")[name]["spec"]["containers"]
    given = {one["name"]: one for one in container["env"]}
    user = USER_PREFIX + {"provision": "operator"}.get(name, name)
    assert given["CHANCERY_KAFKA_USERNAME"]["value"] == user
    password = given["CHANCERY_KAFKA_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert password == {"name": user, "key": "password"}
    assert given["CHANCERY_KAFKA_TLS"]["value"] == "on"
    authority = given["CHANCERY_KAFKA_TLS_AUTHORITY"]["value"]
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    (volume,) = (
        one
        for one in pods("production")[name]["spec"]["volumes"]
        if one["name"] == mounts[str(Path(authority).parent)]
    )
    assert volume["secret"]["secretName"] == "chancery-cluster-ca-cert"  # a name


def test_a_process_without_kafka_is_given_no_way_to_it() -> None:
    (container,) = pods("production")["query"]["spec"]["containers"]
    assert not [one["name"] for one in container["env"] if "KAFKA" in one["name"]]


def test_kafka_asks_everybody_who_he_is() -> None:
    (kafka,) = of_kind("production", "Kafka")
    assert kafka["spec"]["kafka"]["authorization"] == {"type": "simple"}
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    assert (listener["tls"], listener["authentication"]["type"]) == (True, "scram-sha-512")
    assert set(kafka["spec"]["entityOperator"]) == {"topicOperator", "userOperator"}


def test_the_operators_valkey_takes_the_place_of_the_bases() -> None:
    """Under the same name and password, and as `chancery doctor` wants it."""
    (redis,) = of_kind("production", "Redis")
    assert name_of(redis) == "valkey"
    assert "valkey" in pods("local")
    assert "valkey" not in pods("production")
    assert redis["spec"]["kubernetesConfig"]["redisSecret"] == {"name": "chancery-valkey", "key": "password"}
    (config,) = (one for one in of_kind("production", "ConfigMap") if name_of(one) == "valkey")
    assert redis["spec"]["redisConfig"]["additionalRedisConfig"] == name_of(config)
    assert "maxmemory-policy noeviction" in config["data"]["redis-additional.conf"]


def test_metrics_that_pods_scale_by_are_metrics_of_ours() -> None:
    sources = "".join(
        file.read_text() for name in ("runtime", "projectors") for file in (ROOT / name).rglob("*.py")
    )
    scalers = {name_of(one): one["spec"] for one in of_kind("production", "HorizontalPodAutoscaler")}
    kinds = {name_of(one): one["kind"] for one in of_kind("production", *WORKLOADS)}
    assert set(scalers) == {"command", "query", "projectors"}
    for name, scaler in scalers.items():
        assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": kinds[name], "name": name}
        for metric in scaler["metrics"]:
            assert metric["type"] == "Resource" or f'"{metric["pods"]["metric"]["name"]}"' in sources
