"""Whether the process of a container answers: for the image's HEALTHCHECK and for docker-compose.yml.

Run as `python -m cli.healthcheck live|ready [PROCESS]`. Without a name it looks for the one that the container was
started with. It is run every few seconds, so it imports nothing that takes long.
"""

import http.client
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PORTS = {
    "command": 8081,
    "query": 8082,
    "projectors": 8084,
    "mailer": 8085,
    "relay": 8086,
    "risk": 8087,
}
"""Those of runtime/settings.py, which `CHANCERY_<PROCESS>_PORT` changes."""
ANSWER_SECONDS = 3.0
FIRST_PROCESS = Path("/proc/1/cmdline")
USAGE = 2
OK = 200


def process_of(arguments: Sequence[str]) -> str | None:
    """What `… serve PROCESS` of a command line names; None for commands that serve nothing."""
    for word, following in itertools.pairwise(arguments):
        if word == "serve" and following in PORTS:
            return following
    return None


def answers(process: str, probe: str, environment: Mapping[str, str]) -> bool:
    port = int(environment.get(f"CHANCERY_{process.upper()}_PORT", PORTS[process]))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", f"/health/{probe}")
        return connection.getresponse().status == OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] not in ("live", "ready") or not set(arguments[1:]) <= set(PORTS):
        print("usage: python -m cli.healthcheck live|ready [PROCESS]", file=sys.stderr)
        return USAGE
    named = arguments[1] if arguments[1:] else process_of(FIRST_PROCESS.read_text().split("\0"))
    return 0 if named is None or answers(named, arguments[0], os.environ) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
