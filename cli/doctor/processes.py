"""The processes: what each says of itself at `/health/ready`."""

import functools
import ssl
from collections.abc import Mapping, Sequence

import httpx

from cli.doctor.finding import Finding, green, red, yellow
from runtime.settings import Settings

WORKERS = ("projectors", "mailer", "relay", "risk")
PROCESSES = ("command", "query", *WORKERS)
_SECONDS = 3.0
_READY, _NOT_READY = 200, 503
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what is bound so is asked on the loopback address


async def readiness(name: str, at: Mapping[str, str], settings: Settings) -> Sequence[Finding]:
    """`at` says where processes are that are not where the settings say."""
    check = f"process {name}"
    url = at.get(name) or default_url(name, settings)
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, verify=_trusted()) as http:
            answer = await http.get(f"{url.rstrip('/')}/health/ready")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return [
            _absent(check, name, type(error).__name__, is_elsewhere=_may_be_elsewhere(name, at, settings))
        ]
    return [judged(check, answer)]


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Whom the system trusts. Made once: it takes long enough to hold up the other checks."""
    return ssl.create_default_context()


def default_url(name: str, settings: Settings) -> str:
    """The APIs have URLs; workers listen beside this command if anywhere that it knows."""
    if name == "command":
        return settings.command_url
    if name == "query":
        return settings.query_url
    host = _ANY_HOST.get(settings.bind_host, settings.bind_host)
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{getattr(settings, f'{name}_port')}"


def judged(check: str, answer: httpx.Response) -> Finding:
    if answer.status_code == _READY:
        return green(check, "ready")
    advice = "What it names has a line of its own here, or one in its log."
    if answer.status_code == _NOT_READY:
        try:
            failing: Mapping[str, str] = answer.json()["failing"]
            said = "; ".join(f"{part}: {reason}" for part, reason in failing.items())
        except (ValueError, LookupError, TypeError, AttributeError):
            said = "503, and not in words of Chancery's"
        return red(check, f"not ready: {said}", advice)
    said = f"answers {answer.status_code} at /health/ready"
    return red(check, said, "Something else listens there, or a proxy in between: say where with --at.")


def _may_be_elsewhere(name: str, at: Mapping[str, str], settings: Settings) -> bool:
    return name in WORKERS and name not in at and settings.mode == "production"


def _absent(check: str, name: str, reason: str, *, is_elsewhere: bool) -> Finding:
    if is_elsewhere:
        said = f"nothing answers beside this command ({reason})"
        return yellow(check, said, f"If it runs elsewhere: --at {name}=http://HOST:PORT.")
    advice = f"Start it: `chancery serve {name}`; if it runs, see its log, or say where with --at {name}=URL."
    return red(check, f"does not answer ({reason})", advice)
