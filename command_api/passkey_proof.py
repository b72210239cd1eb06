"""Whatever a passkey's assertion decides: checked once, off the log, against the passkey as the account has it."""

from collections.abc import Callable
from typing import Any

from command_api.calls import Call
from command_api.executor import Executor
from command_api.passkey_rules import Passkeys
from domain.account_state import Active
from domain.factor_commands import PasskeyAnswer, VerifiedPasskey
from domain.factors import Passkey
from events.streams import account_stream
from eventstore.errors import StaleBasisError
from eventstore.writer import Draft, Writer
from runtime.encoding import base64url, parse_base32
from runtime.passkeys import Assertion, Credential, verify_assertion
from runtime.serving.answers import HttpAnswer

_TRIES = 3

DecideWithPasskey = Callable[[Draft, PasskeyAnswer], HttpAnswer]
"""A decision that knows what the assertion is worth."""


class PasskeyProof:
    def __init__(self, executor: Executor, writer: Writer, passkeys: Passkeys) -> None:
        self._executor = executor
        self._writer = writer
        self._party = passkeys.party

    async def run(
        self, call: Call, account_id: str, assertion: Assertion, challenge: bytes, decide: DecideWithPasskey
    ) -> HttpAnswer:
        """`challenge` is the one that must have been signed."""
        stream = account_stream(account_id)
        call = await self._executor.settle(call, stream)
        for _ in range(_TRIES):
            checked = find_credential(await self._writer.state(stream), assertion)
            answer = self._judge(checked, account_id, assertion, challenge)
            try:
                return await self._executor.run(
                    call, stream, _if_unchanged(stream, assertion, checked, answer, decide)
                )
            except StaleBasisError:
                continue
        raise StaleBasisError("the passkey changed while its answer was checked")

    def _judge(
        self, passkey: Passkey | None, account_id: str, assertion: Assertion, challenge: bytes
    ) -> PasskeyAnswer:
        """The counter is the decision's own matter."""
        is_named = assertion.user_handle in (None, parse_base32(account_id))
        if not is_named or passkey is None or passkey.credential_id is None or passkey.public_key is None:
            return PasskeyAnswer(verified=None)
        credential = Credential(
            credential_id=passkey.credential_id, public_key=passkey.public_key, is_synced=passkey.is_synced
        )
        sign_count = verify_assertion(self._party, assertion, challenge, credential)
        if sign_count is None:
            return PasskeyAnswer(verified=None)
        verified = VerifiedPasskey(passkey_id=passkey.passkey_id, sign_count=sign_count)
        return PasskeyAnswer(verified=verified)


def find_credential(state: Any, assertion: Assertion) -> Passkey | None:
    """The account's passkey that the assertion says it is from."""
    if not isinstance(state, Active):
        return None
    name = base64url(assertion.credential_id)
    return next((passkey for passkey in state.factors.passkeys if passkey.credential_id == name), None)


def _if_unchanged(
    stream: str,
    assertion: Assertion,
    checked: Passkey | None,
    answer: PasskeyAnswer,
    decide: DecideWithPasskey,
) -> Callable[[Draft], HttpAnswer]:
    """An id is one passkey's for ever; only whether the account has it, and its counter, can have changed."""
    checked_id = checked.passkey_id if checked else None

    def decide_if_unchanged(draft: Draft) -> HttpAnswer:
        present = find_credential(draft.state(stream), assertion)
        if (present.passkey_id if present else None) != checked_id:
            raise StaleBasisError("the assertion was checked against an older state")
        return decide(draft, answer)

    return decide_if_unchanged
