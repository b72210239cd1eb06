"""k8s/ as `kubectl` renders it, and what its network policies let through."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from tests.support.containers import PROGRAMS, ROOT

Object = Mapping[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "Job")


def render(overlay: str) -> tuple[Object, ...]:
    return _objects(rendered(overlay))


@cache
def _objects(text: str) -> tuple[Object, ...]:
    return tuple(yaml.safe_load_all(text))


@cache
def rendered(overlay: str) -> str:
    done = subprocess.run(
        [str(PROGRAMS / "kubectl"), "kustomize", str(ROOT / "k8s" / "overlays" / overlay)],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    return [one for one in render(overlay) if one["kind"] in kinds]


def name_of(one: Object) -> str:
    return str(one["metadata"]["name"])


def pods(overlay: str) -> dict[str, Object]:
    """The pod templates of everything that runs, by the name of what runs them."""
    return {name_of(one): one["spec"]["template"] for one in of_kind(overlay, *WORKLOADS)}


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    rules = selector.get("matchExpressions") or ()
    assert all(rule["operator"] == "In" for rule in rules)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(rule["key"]) in rule["values"] for rule in rules
    )


def labels_of(pod: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = pod["metadata"]["labels"]
    return labels


def reached(overlay: str, source: str, stores: Mapping[str, Object]) -> set[str]:
    """`pod:port` of all that a pod may open a connection to, as both ends allow it; and what is not a pod of ours."""
    everything = {**pods(overlay), **stores}
    labels = labels_of(everything[source])
    allowed: set[str] = set()
    for peer, port in _rules(overlay, "Egress", labels):
        if "ipBlock" in peer or "namespaceSelector" in peer:
            allowed.add(f"{_elsewhere(peer)}:{port}")
            continue
        for target, pod in everything.items():
            if matches(peer["podSelector"], labels_of(pod)) and _accepts(
                overlay, labels_of(pod), labels, port
            ):
                allowed.add(f"{target}:{port}")
    return allowed


def is_closed(overlay: str, pod: Object, direction: str) -> bool:
    return bool(_policies(overlay, direction, labels_of(pod)))


def _accepts(overlay: str, target: Mapping[str, str], source: Mapping[str, str], port: int) -> bool:
    if not _policies(overlay, "Ingress", target):
        return True
    return any(
        matches(peer.get("podSelector", {}), source)
        for peer, accepted in _rules(overlay, "Ingress", target)
        if "namespaceSelector" not in peer and accepted == port
    )


def _policies(overlay: str, direction: str, labels: Mapping[str, str]) -> list[Object]:
    found = [one["spec"] for one in of_kind(overlay, "NetworkPolicy")]
    return [one for one in found if direction in one["policyTypes"] and matches(one["podSelector"], labels)]


def _rules(overlay: str, direction: str, labels: Mapping[str, str]) -> Iterator[tuple[Object, int]]:
    peers = {"Egress": "to", "Ingress": "from"}[direction]
    for policy in _policies(overlay, direction, labels):
        for rule in policy.get(direction.lower(), ()):
            for peer in rule[peers]:
                for port in rule["ports"]:
                    yield peer, port["port"]


def _elsewhere(peer: Object) -> str:
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    selectors: Sequence[Object] = [peer["namespaceSelector"], peer.get("podSelector", {})]
    pairs = [pair for one in selectors for pair in one.get("matchLabels", {}).items()]
    return "/".join(key if value == "yes" else value for key, value in pairs)
