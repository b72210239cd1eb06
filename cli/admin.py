"""`chancery admin …`: what needs the configuration's secrets and no access token."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failures import USAGE, explained

if TYPE_CHECKING:
    from runtime.settings import Settings

READ_SECONDS = 60.0
"""A partition is read from its beginning before anything is written to it."""

app = typer.Typer(help="Administration with the configuration's own secrets.", no_args_is_help=True)


@app.command("create-client")
def create_client(
    name: Annotated[str, typer.Option(help="What people call it.")],
    scopes: Annotated[str, typer.Option(help="Comma-separated, e.g. chancery.introspect")],
    audiences: Annotated[str, typer.Option(help="Comma-separated; the default audience if left out.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Register a machine client. Its secret is shown once and stored nowhere."""
    if not name.strip() or len(name) > 100:  # noqa: PLR2004  # the same bound as a display name
        typer.echo("--name must have 1 to 100 characters.", err=True)
        raise typer.Exit(USAGE)
    if not name.isprintable() or not _parts(scopes):
        typer.echo("--name must be printable, and --scopes must name at least one scope.", err=True)
        raise typer.Exit(USAGE)
    with explained():
        made = asyncio.run(_create_client(name.strip(), _parts(scopes), _parts(audiences)))
    if as_json:
        print(json.dumps(made))
        return
    print(f"Client {name!r} is registered.\n  client_id      {made['client_id']}")
    print(f"  client_secret  {made['client_secret']}\nThe secret is shown only now. Keep it safe.")


async def _create_client(name: str, scopes: tuple[str, ...], audiences: tuple[str, ...]) -> dict[str, str]:
    from runtime.settings import load_settings

    return await register_client(load_settings(), name, scopes, audiences)


async def register_client(
    settings: "Settings", name: str, scopes: tuple[str, ...], audiences: tuple[str, ...]
) -> dict[str, str]:
    """Append the registration to the log; the new client's id and secret."""
    from command_api.clients import digest_of, new_secret
    from command_api.open_writer import open_writer
    from domain.client import RegisterClient
    from domain.values import parse_audiences, parse_scope
    from events.streams import client_stream, new_id
    from eventstore.commit import Actor
    from eventstore.writer import Draft, Origin

    parsed, parsed_audiences = parse_scope(" ".join(scopes)), parse_audiences(audiences)
    client_id, secret = new_id(), new_secret()

    def register(draft: Draft) -> None:
        command = RegisterClient(
            client_id=client_id,
            name=name,
            scopes=parsed,
            audiences=parsed_audiences,
            secret_digest=digest_of(secret),
            at=draft.at,
        )
        draft.decide(client_stream(client_id), command)

    async with open_writer(settings, deadline_seconds=READ_SECONDS) as opened:
        await opened.writer.transact(
            client_stream(client_id), register, Origin(actor=Actor(kind="system", id="cli"))
        )
    return {"client_id": client_id, "client_secret": secret}


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
