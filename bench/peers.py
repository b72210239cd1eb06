"""Chancery and other identity servers under one generator, in turn on this machine: `bench.tokens --targets all`.

The generator, and what starts the others, are the scripts of a folder beside the project (its README says what they need and
fetch). Here is only how they are called, and how they find Chancery.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.token_clients import query_process
from localstack.stack import StackInfo, running_stack

Row = tuple[str, dict[str, Any]]
PEERS = ("keycloak", "hydra")
WORKLOADS = ("introspect_spread", "introspect_hot")
POOL = 5000
"""Tokens of the spread, as the peers have it; 1 % of them revoked."""
PEER_SECONDS = 1800.0


@contextmanager
def scripts_of(folder: Path) -> Iterator[Path]:
    """A copy of theirs, because they write their results beside themselves."""
    with tempfile.TemporaryDirectory() as scratch:
        scripts = Path(scratch) / "peers"
        shutil.copytree(folder, scripts)
        for one in (scripts, scripts / "results"):
            one.chmod(0o755)
        yield scripts


def measure_chancery(folder: Path, stack: StackInfo, client: Mapping[str, str]) -> list[Row]:
    """By the peers' generator, which is not ours: a row for each workload and number of connections."""
    with scripts_of(folder) as scripts:
        (scripts / "ours.json").write_text(json.dumps(_chancery(stack, client)))
        state = running_stack(stack.home)
        database = None if state is None else state.processes["postgres"].pid
        own = ("target", "ours.json", "--name", "chancery", "--workloads", ",".join(WORKLOADS))
        pids = ("--pids", str(query_process(stack)), "--db-pids", str(database))
        return list(_rows(scripts, "chancery", (*own, *pids)))


def measure_peers(folder: Path) -> Iterator[Row]:
    """Once no stack of ours runs. One that cannot be measured is said so and left out."""
    with scripts_of(folder) as scripts:
        for peer in PEERS:
            yield from _rows(scripts, peer, (peer,))


def _rows(scripts: Path, name: str, arguments: tuple[str, ...]) -> Iterator[Row]:
    environment = {**os.environ, "PEERS_ONLY": ",".join(WORKLOADS)}
    results = scripts / "results" / f"{name}.jsonl"
    results.unlink(missing_ok=True)
    try:
        subprocess.run((str(scripts / "run"), *arguments), env=environment, check=True, timeout=PEER_SECONDS)  # noqa: S603  # the folder that was named
    except (subprocess.SubprocessError, OSError) as error:
        print(f"{name} was not measured: {error}", flush=True)
    for line in results.read_text().splitlines() if results.exists() else ():
        row = json.loads(line)
        if "failed" in row:
            print(f"{name} was not measured: {row['failed']}", flush=True)
            continue
        kept = ("rps", "p50_ms", "p99_ms", "errors", "rps_per_server_cpu_s", "server_peak_rss_mb", "noisy")
        cpu = 1000 / row["rps_per_server_cpu_s"] if row["rps_per_server_cpu_s"] else None
        yield (
            f"{row['target']}_{row['workload']}_{row['conns']}",
            {**{one: row[one] for one in kept}, "cpu_seconds_per_1000": cpu, "wrong_answers": row["errors"]},
        )


def _chancery(stack: StackInfo, client: Mapping[str, str]) -> dict[str, Any]:
    """How the generator asks Chancery: the token of a client, whether it is active, and its revocation."""
    basic, token = ["{{client_id}}", "{{client_secret}}"], {"token": "{{access_token}}"}
    command, query = stack.command_url, stack.query_url
    seed = {"url": f"{command}/oauth/token", "basic": basic, "form": {"grant_type": "client_credentials"}}
    spread = {"seed": "issue", "pool": POOL, "revoke": {"fraction": 0.01, "request": "revoke"}}
    return {
        "name": "chancery",
        "vars": {"client_id": client["client_id"], "client_secret": client["client_secret"]},
        "requests": {
            "issue": {**seed, "take": {"access_token": "access_token"}},
            "introspect": {"url": f"{query}/oauth/introspect", "basic": basic, "form": token, "active": True},
            "revoke": {"url": f"{command}/oauth/revoke", "basic": basic, "form": token},
        },
        "workloads": {
            "introspect_hot": {"seed": "issue", "pool": 1, "request": "introspect"},
            "introspect_spread": {**spread, "request": "introspect"},
        },
    }
