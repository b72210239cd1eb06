"""The challenge of a sign-in whose password was right: what the client is told, and what it brings back."""

from typing import Any

from command_api.answers import position_header
from command_api.passkey_rules import Passkeys
from domain.account_state import Active
from domain.factors import Factors
from events.factors import SignInChallenged
from events.streams import account_stream
from eventstore.writer import Draft
from runtime.account_code import CHALLENGE, AccountCode, parse_account_code, render_account_code
from runtime.keys import DerivedKeys
from runtime.serving.answers import HttpAnswer, json_answer


class Challenges:
    def __init__(self, keys: DerivedKeys, passkeys: Passkeys) -> None:
        self._key = keys.challenge_key
        self._passkeys = passkeys

    def answer(self, draft: Draft, account_id: str, challenged: SignInChallenged) -> HttpAnswer:
        """202: which factors would do, and until when."""
        state = draft.state(account_stream(account_id))
        assert isinstance(state, Active)
        code = AccountCode(account_id=account_id, subject_id=challenged.challenge_id)
        content: dict[str, Any] = {
            "challenge": render_account_code(CHALLENGE, self._key, code),
            "factors": usable(state.factors),
            "expires_in": round((challenged.expires_at - draft.at).total_seconds()),
            "position": str(draft.position),
        }
        if state.factors.passkeys:
            content["passkey_options"] = self._passkeys.second_step_options(
                challenged.challenge_id, state.factors.passkeys, challenged.expires_at - draft.at
            )
        return json_answer(202, content, position_header(draft.position))

    def parse(self, text: str) -> AccountCode | None:
        """Which sign-in of which account; None for what was not made here."""
        return parse_account_code(CHALLENGE, self._key, text)


def usable(factors: Factors) -> list[str]:
    """What can answer a challenge, by its names in the API."""
    found = {
        "totp": factors.totp is not None,
        "recovery_code": factors.recovery_codes is not None and bool(factors.recovery_codes.left),
        "passkey": bool(factors.passkeys),
    }
    return [name for name, is_there in found.items() if is_there]
