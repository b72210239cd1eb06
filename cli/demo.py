"""`chancery demo`: the whole story against the running stack, each step with what the log says of it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.failures import CHECK_FAILED, UNREACHABLE, explained

if TYPE_CHECKING:
    import httpx
    from rich.console import Console

    from eventstore.kafka_log import KafkaLog
    from runtime.settings import Settings

PASSWORD = "a sentence nobody guesses"  # noqa: S105  # the demo's own person
NEW_PASSWORD = "another sentence nobody guesses"  # noqa: S105  # as above
MAIL_SECONDS = 10.0
REFUSAL_SECONDS = 5.0


class DemoError(Exception):
    """A step did not answer as documented."""


def demo(
    times: Annotated[int, typer.Option(min=1, max=1000, help="Play the story so many times.")] = 1,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end only.")] = False,
) -> None:
    """Sign up, verify, sign in, be validated, refresh, sign out, be refused."""
    import httpx
    from rich.console import Console

    console = Console(highlight=False, quiet=as_json)
    with explained():
        try:
            refusals = [asyncio.run(_play(console)) for _ in range(times)]
        except DemoError as error:
            typer.echo(f"The story broke: {error}", err=True)
            raise typer.Exit(CHECK_FAILED) from None
        except httpx.HTTPError as error:
            typer.echo(f"Chancery does not answer ({type(error).__name__}). `make up` starts it.", err=True)
            raise typer.Exit(UNREACHABLE) from None
    if as_json:
        print(json.dumps({"stories": times, "refused_after_ms": [round(1000 * s, 1) for s in refusals]}))


@dataclass(slots=True, kw_only=True)
class Story:
    """What the steps share: the two APIs, a resource server's credentials, and the log as it grows."""

    console: "Console"
    http: "httpx.AsyncClient"
    settings: "Settings"
    log: "LogWatch"
    client: dict[str, str]
    email: str
    tokens: dict[str, Any] = field(default_factory=dict)

    async def command(self, method: str, path: str, expected: int, **request: Any) -> "httpx.Response":
        return await self._call(self.settings.command_url, method, path, expected, **request)

    async def query(self, method: str, path: str, expected: int, **request: Any) -> "httpx.Response":
        return await self._call(self.settings.query_url, method, path, expected, **request)

    async def is_active(self, token: str) -> bool:
        basic = (self.client["client_id"], self.client["client_secret"])
        answer = await self.query("POST", "/oauth/introspect", 200, auth=basic, data={"token": token})
        return bool(answer.json()["active"])

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens['access_token']}"}

    async def _call(
        self, base: str, method: str, path: str, expected: int, **request: Any
    ) -> "httpx.Response":
        answer = await self.http.request(method, base + path, **request)
        self.console.print(f"  {method} {path} [dim]→[/dim] {answer.status_code}")
        if answer.status_code != expected:
            raise DemoError(f"{method} {path} answered {answer.status_code}, not {expected}: {answer.text}")
        return answer


async def _play(console: "Console") -> float:
    """One story with a new person; the seconds from the sign-out's answer to the refusal."""
    async with _open(console) as story:
        steps: tuple[tuple[str, Callable[[Story], Awaitable[None]]], ...] = (
            ("Sign up", _sign_up),
            ("Prove the address with the mailed code", _verify),
            ("Sign in", _sign_in),
            ("Be validated", _be_validated),
            ("Look at the own account", _look),
            ("Refresh: the answer got lost, so ask twice", _refresh),
            ("Change the password", _change_password),
        )
        for title, step in steps:
            console.print(f"\n[bold]{title}[/bold]")
            await step(story)
            await story.log.show_new(console)
        console.print("\n[bold]Sign out, and be refused[/bold]")
        seconds = await _sign_out(story)
        await story.log.show_new(console)
        console.print(
            f"\n[green]Done.[/green] Refused {1000 * seconds:.0f} ms after the sign-out was answered."
        )
        return seconds


async def _sign_up(story: Story) -> None:
    body = {"email": story.email, "password": PASSWORD, "display_name": "Ada Lovelace"}
    await story.command("POST", "/v1/accounts", 202, json=body)


async def _verify(story: Story) -> None:
    code = await _code_for(story.email)
    story.console.print(f"  the mail to {story.email} says {code}")
    await story.command("POST", "/v1/email-verifications", 200, json={"email": story.email, "code": code})


async def _sign_in(story: Story) -> None:
    wrong = {"email": story.email, "password": "not the right sentence"}
    await story.command("POST", "/v1/sessions", 401, json=wrong)
    right = {"email": story.email, "password": PASSWORD}
    story.tokens = (await story.command("POST", "/v1/sessions", 201, json=right)).json()


async def _be_validated(story: Story) -> None:
    if not await story.is_active(story.tokens["access_token"]):
        raise DemoError("a fresh access token is not active")
    answer = await story.query("GET", "/v1/forward-auth", 200, headers=story.bearer)
    story.console.print(f"  a gateway passes on X-Auth-Account: {answer.headers['x-auth-account']}")


async def _look(story: Story) -> None:
    at = {"chancery-min-position": story.tokens["position"]}
    me = (await story.query("GET", "/v1/me", 200, headers={**story.bearer, **at})).json()
    sessions = (await story.query("GET", "/v1/me/sessions", 200, headers={**story.bearer, **at})).json()
    story.console.print(f"  {me['display_name']}, {len(sessions['sessions'])} session")


async def _refresh(story: Story) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": story.tokens["refresh_token"]}
    first = (await story.command("POST", "/oauth/token", 200, data=form)).json()
    second = (await story.command("POST", "/oauth/token", 200, data=form)).json()
    if first["refresh_token"] != second["refresh_token"]:
        raise DemoError("the same refresh token had two successors")
    story.console.print("  both answers carry the same successor")
    story.tokens = second


async def _change_password(story: Story) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await story.command("PUT", "/v1/me/password", 204, headers=story.bearer, json=body)


async def _sign_out(story: Story) -> float:
    path = f"/v1/sessions/{story.tokens['session_id']}"
    await story.command("DELETE", path, 204, headers=story.bearer)
    began = time.monotonic()
    while await story.is_active(story.tokens["access_token"]):
        if time.monotonic() - began > REFUSAL_SECONDS:
            raise DemoError(f"the token is still active {REFUSAL_SECONDS} s after the sign-out")
    seconds = time.monotonic() - began
    await story.query("GET", "/v1/forward-auth", 401, headers=story.bearer)
    form = {"grant_type": "refresh_token", "refresh_token": story.tokens["refresh_token"]}
    await story.command("POST", "/oauth/token", 400, data=form)
    return seconds


async def _code_for(email: str) -> str:
    from localstack.inbox import inbox_file, read_mails
    from runtime.settings import home

    until = time.monotonic() + MAIL_SECONDS
    while time.monotonic() < until:
        codes = [mail.code for mail in read_mails(inbox_file(home()), email) if mail.code]
        if codes:
            return codes[-1]
        await asyncio.sleep(0.05)
    raise DemoError(f"no mail came to {email} within {MAIL_SECONDS} s; `chancery logs mailer` may tell why")


class LogWatch:
    """Reads what was appended since the last look, the way every consumer does."""

    def __init__(self, log: "KafkaLog") -> None:
        from eventstore.chain import ChainReader

        self._log = log
        self._chains = [ChainReader(number, log.partitions) for number in range(log.partitions)]

    async def show_new(self, console: "Console") -> None:
        for number, chain in enumerate(self._chains):
            while chain.head.next_offset < await self._log.end(number):
                for record in await self._log.read(number, chain.head.next_offset, wait_seconds=1):
                    counted = chain.admit(record)
                    for event in counted.commit.events if counted else ():
                        sealed = " [dim]+ sealed fields[/dim]" if event.sealed else ""
                        name = f"{event.stream[:18]}… v{event.version}"
                        console.print(
                            f"    [cyan]{counted and counted.position}[/cyan] {event.type} [dim]{name}[/dim]{sealed}"
                        )


@asynccontextmanager
async def _open(console: "Console") -> AsyncIterator[Story]:
    import httpx
    from rich.console import Console

    from cli.admin import register_client
    from events.streams import new_id
    from eventstore.kafka_log import KafkaLog
    from runtime.settings import load_settings

    settings = load_settings()
    async with AsyncExitStack() as opened:
        http = await opened.enter_async_context(httpx.AsyncClient(timeout=10))
        await http.get(settings.command_url + "/health/live")
        log = KafkaLog(settings.kafka, settings.events_topic, settings.partitions)
        await log.start()
        opened.push_async_callback(log.stop)
        client = await register_client(settings, "demo", ("chancery.introspect",), ())
        watch = LogWatch(log)
        await watch.show_new(Console(quiet=True))
        email = f"ada-{new_id()[:8]}@example.com"
        yield Story(console=console, http=http, settings=settings, log=watch, client=client, email=email)
