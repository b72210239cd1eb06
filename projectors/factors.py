"""Builds `factors`. Law: as in the log's own rules, recovery codes go with the last factor."""

from collections.abc import Sequence

from msgspec.structs import replace

from events.account import AccountClosed
from events.factors import (
    PasskeyAccepted,
    PasskeyRegistered,
    PasskeyRemoved,
    RecoveryCodeAccepted,
    RecoveryCodesIssued,
    TotpAccepted,
    TotpEnrolled,
    TotpRemoved,
)
from eventstore.facts import RecordedFact
from projectors.projector import Versioned, as_json, fold_rows
from readmodels.factors import Factors as Row
from readmodels.factors import Passkey, factor_rows
from runtime.postgres import Connection
from runtime.statements import load_statements, of_table

_SQL = load_statements(__file__)


class Factors(Versioned):
    read_model = "factors"
    parks = True
    handles = frozenset(
        {
            TotpEnrolled,
            TotpAccepted,
            TotpRemoved,
            RecoveryCodesIssued,
            RecoveryCodeAccepted,
            PasskeyRegistered,
            PasskeyAccepted,
            PasskeyRemoved,
            AccountClosed,
        }
    )

    async def apply(self, tx: Connection, facts: Sequence[RecordedFact]) -> None:
        keyed = [(fact.stream.removeprefix("account-"), fact) for fact in facts]
        rows = await factor_rows(tx, self.name, {key for key, _ in keyed})
        changed, gone = fold_rows(rows, keyed, evolve)
        if changed:
            await tx.execute(of_table(_SQL, self.name)["write"], as_json(changed))
        if gone:
            await tx.execute(of_table(_SQL, self.name)["delete"], gone)


def evolve(row: Row | None, fact: RecordedFact) -> Row | None:
    known = row or Row(account_id=fact.stream.removeprefix("account-"))
    match fact.event:
        case TotpEnrolled() as event:
            return replace(known, totp_enrolled_at=event.enrolled_at, totp_used_at=None)
        case TotpAccepted() if known.totp_enrolled_at is not None:
            return replace(known, totp_used_at=fact.at)
        case TotpRemoved():
            return _kept(replace(known, totp_enrolled_at=None, totp_used_at=None))
        case RecoveryCodesIssued() as event:
            return replace(known, recovery_codes_issued_at=event.issued_at, recovery_codes_left=event.count)
        case RecoveryCodeAccepted() if known.recovery_codes_left > 0:
            return replace(known, recovery_codes_left=known.recovery_codes_left - 1)
        case PasskeyRegistered() | PasskeyAccepted() | PasskeyRemoved():
            return _evolve_passkeys(known, fact)
        case AccountClosed():
            return None
        case _:
            return row


def _evolve_passkeys(row: Row, fact: RecordedFact) -> Row | None:
    match fact.event:
        case PasskeyRegistered() as event:
            passkey = Passkey(
                passkey_id=event.passkey_id, is_synced=event.is_synced, registered_at=event.registered_at
            )
            return replace(row, passkeys=(*row.passkeys, passkey))
        case PasskeyAccepted() as event:
            passkeys = tuple(
                replace(passkey, used_at=event.accepted_at)
                if passkey.passkey_id == event.passkey_id
                else passkey
                for passkey in row.passkeys
            )
            return _kept(replace(row, passkeys=passkeys))
        case PasskeyRemoved() as event:
            left = tuple(passkey for passkey in row.passkeys if passkey.passkey_id != event.passkey_id)
            return _kept(replace(row, passkeys=left))
        case _:
            return row


def _kept(row: Row) -> Row | None:
    return row if row.totp_enrolled_at is not None or row.passkeys else None
