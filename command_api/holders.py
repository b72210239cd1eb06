"""From an address to the account that holds it, which may live in another partition.

The identifier says who holds an address; the account says which address is its own now. A decision that
needs both is taken where the account lives. The look at the identifier before is as fresh as any decision.
"""

from collections.abc import Callable

from command_api.calls import Call
from command_api.executor import Executor
from domain.identifier import Identifier
from events.streams import account_stream, identifier_stream, slot_of
from eventstore.errors import StaleBasisError
from eventstore.writer import Draft
from runtime.keys import address_digest
from runtime.serving.answers import HttpAnswer

DecideForHolder = Callable[[Draft, str | None], HttpAnswer]
"""A decision about the account with this id, in its partition; about nobody, in the identifier's."""


class HeldElsewhereError(StaleBasisError):
    """The holder of the address lives in another partition."""

    def __init__(self, account_id: str) -> None:
        super().__init__("the account lives elsewhere")
        self.account_id = account_id


def identifier_of(pepper: bytes, canonical: str) -> str:
    """The stream of an address: its HMAC under the pepper, so that the log leaks none."""
    return identifier_stream(address_digest(pepper, canonical))


async def run_for_holder(
    executor: Executor, call: Call, identifier: str, decide: DecideForHolder
) -> HttpAnswer:
    """One commit, wherever the holder lives. An answer that was kept where the address is comes first."""

    def at_identifier(draft: Draft) -> HttpAnswer:
        held: Identifier = draft.state(identifier)
        if held.holder is not None and slot_of(account_stream(held.holder)) != slot_of(identifier):
            raise HeldElsewhereError(held.holder)
        return decide(draft, held.holder)

    call = await executor.settle(call, identifier)
    try:
        return await executor.run(call, identifier, at_identifier)
    except HeldElsewhereError as elsewhere:
        account_id = elsewhere.account_id
        return await executor.run(call, account_stream(account_id), lambda draft: decide(draft, account_id))
