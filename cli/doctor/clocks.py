"""How far this machine's clock is from those of the stores.

Processes take the time from PostgreSQL once it has answered, so a wrong clock here harms until then, and beyond it:
in what others compare with their own (tokens, certificates, logs). `CLOCK_MARGIN` is by how much two processes may
differ before a token of an outgoing key is refused, so more than that is red.
"""

from collections.abc import Sequence

from cli.doctor.finding import Finding, green, red, yellow
from cli.doctor.valkey import opened_valkey
from cli.opened import opened_postgres
from domain.signing_keys import CLOCK_MARGIN
from readmodels.valkey_keys import NOW
from runtime.settings import Settings
from runtime.store_clock import Offset, offset_of, postgres_now

NOTED_SECONDS = 1.0
"""A revocation is to be refused within this, so logs of two machines should agree better."""
AGAINST_POSTGRES, AGAINST_VALKEY = "clock against PostgreSQL", "clock against Valkey"


async def against_postgres(_settings: Settings) -> Sequence[Finding]:
    async with opened_postgres() as postgres:
        return [judged(AGAINST_POSTGRES, await offset_of(lambda: postgres_now(postgres)))]


async def against_valkey(settings: Settings) -> Sequence[Finding]:
    async with opened_valkey(settings) as valkey:
        ask = valkey.script(NOW)

        async def now() -> float:
            return int(await ask([], [])) / 1000

        return [judged(AGAINST_VALKEY, await offset_of(now))]


def judged(check: str, offset: Offset) -> Finding:
    """What is not sure is not held against the clock: half a round trip."""
    apart = max(0.0, abs(offset.seconds) - offset.unsure_seconds)
    side = "behind" if offset.seconds > 0 else "ahead of"
    said = f"this machine is {abs(offset.seconds):.3f} s {side} it, ± {offset.unsure_seconds:.3f} s"
    if apart > CLOCK_MARGIN.total_seconds():
        return red(check, said, "Let NTP set the clocks of all machines.")
    if apart > NOTED_SECONDS:
        return yellow(check, said, "Let NTP set the clocks of all machines.")
    return green(check, said)
