"""`chancery keys …`: the keys that sign access tokens and the one that wraps data keys."""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.admin import READ_SECONDS
from cli.failures import CHECK_FAILED, explained

if TYPE_CHECKING:
    from eventstore.rewrap import Rewrapped

app = typer.Typer(
    help="The keys that sign access tokens, and the one that wraps data keys.", no_args_is_help=True
)


@app.command("rotate")
def rotate(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Announce a new key of the configured algorithm; the old one retires once its last token has expired."""
    with explained():
        made = asyncio.run(_rotate())
    if as_json:
        print(json.dumps(made))
        return
    print(f"Key {made['kid']} ({made['alg']}) signs from {made['activates_at']} on.")
    print(f"The keys before it retire at {made['others_retire_at']}.")


async def _rotate() -> dict[str, str]:
    from command_api.open_writer import open_writer
    from command_api.signing_keys import MOST_WAIT, KeyPolicy, Rotation
    from events.streams import SIGNING_KEYS
    from eventstore.commit import Actor
    from eventstore.writer import Origin
    from runtime.clock import rfc3339
    from runtime.settings import load_settings

    settings = load_settings()
    rotation = await Rotation.new(KeyPolicy.of(settings))
    async with open_writer(settings, deadline_seconds=READ_SECONDS) as opened:
        origin = Origin(actor=Actor(kind="system", id="cli"))
        done = await opened.writer.transact(SIGNING_KEYS, rotation.decide, origin)
    rotated = done.reply
    if rotation.policy.lead <= MOST_WAIT:
        await asyncio.sleep(rotation.policy.lead.total_seconds())
    return {
        "kid": rotated.kid,
        "alg": rotated.alg,
        "activates_at": rfc3339(rotated.activates_at),
        "others_retire_at": rfc3339(rotated.others_retire_at),
        "position": str(done.position),
    }


@app.command("rewrap")
def rewrap(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Store every data key anew under CHANCERY_KEY_ENCRYPTION_KEY, so that the ones before it can go.

    First start all processes with the new key as CHANCERY_KEY_ENCRYPTION_KEY and the old one among
    CHANCERY_KEY_ENCRYPTION_KEYS_BEFORE. It may be stopped and repeated at any point.
    """
    with explained():
        done = asyncio.run(_rewrap())
    if as_json:
        print(json.dumps(asdict(done)))
    else:
        print(f"{done.rewrapped} of {done.keys} data keys were stored anew under the current key.")
        if done.erased_again:
            print(f"{done.erased_again} keys that were erased meanwhile were erased again.")
        if not done.left:
            print("None is under another key: CHANCERY_KEY_ENCRYPTION_KEYS_BEFORE can be emptied.")
    if done.left:
        print(
            f"{done.left} keys are under another key still: a process runs with an earlier configuration. "
            "Restart it with the new one, and repeat this.",
            file=sys.stderr,
        )
        raise typer.Exit(CHECK_FAILED)


async def _rewrap() -> "Rewrapped":
    from eventstore.kafka_keys import KafkaKeyStore
    from eventstore.key_encryption import key_encryption
    from eventstore.rewrap import rewrap as store_anew
    from runtime.settings import load_settings

    settings = load_settings()
    store = KafkaKeyStore(
        settings.kafka, settings.keys_topic, settings.partitions, timeout_seconds=READ_SECONDS
    )
    await store.start()
    try:
        return await store_anew(store, key_encryption(settings), _show)
    finally:
        await store.stop()


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr)
