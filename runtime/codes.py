"""Codes that are mailed: never stored, always derived again from the id of their challenge."""

import hmac
from dataclasses import dataclass
from typing import Literal

from runtime.account_code import UNDO, AccountCode, render_account_code
from runtime.keys import DerivedKeys, keyed_digest

CODE_DIGITS = 8
Purpose = Literal["verify-email", "reset-password", "change-email"]


def mailed_code(code_key: bytes, purpose: Purpose, challenge_id: str) -> str:
    """The 8 digits that answer this challenge, and no challenge of another purpose."""
    digest = keyed_digest(code_key, purpose.encode(), challenge_id.encode())
    return f"{int.from_bytes(digest, 'big') % 10**CODE_DIGITS:0{CODE_DIGITS}d}"


def is_code(text: str) -> bool:
    return len(text) == CODE_DIGITS and text.isascii() and text.isdigit()


def matches_code(code_key: bytes, purpose: Purpose, challenge_id: str, code: str) -> bool:
    """Whether `code` is the one of this challenge, in the same time whatever the answer."""
    return hmac.compare_digest(mailed_code(code_key, purpose, challenge_id).encode(), code.encode())


@dataclass(frozen=True, slots=True)
class MailedCodes:
    """Every code that a mail may carry."""

    keys: DerivedKeys

    def verification(self, challenge_id: str) -> str:
        return mailed_code(self.keys.code_key, "verify-email", challenge_id)

    def password_reset(self, challenge_id: str) -> str:
        return mailed_code(self.keys.code_key, "reset-password", challenge_id)

    def email_change(self, change_id: str) -> str:
        return mailed_code(self.keys.code_key, "change-email", change_id)

    def undo(self, account_id: str, change_id: str) -> str:
        code = AccountCode(account_id=account_id, subject_id=change_id)
        return render_account_code(UNDO, self.keys.undo_key, code)
