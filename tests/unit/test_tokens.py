"""Tokens say the time of who issues them, and nobody calls one good or bad without keys to check it with."""

from datetime import UTC, datetime, timedelta

import pytest

from command_api.tokens import TokenPolicy, Tokens
from domain.client import Registered
from domain.signing_keys import CreateFirstKey
from events.streams import SIGNING_KEYS
from eventstore.writer import Draft
from query_api.key_set import KeySet
from query_api.tokens import CannotKnowError, TokenChecks, TokenRules
from readmodels.live_sessions import LiveSessions
from readmodels.revoked_tokens import TokenIds
from runtime.access_token import verify_access_token
from runtime.circuit import FAILURES
from runtime.keys import derive_keys
from runtime.postgres import Postgres
from runtime.redis import Valkey
from runtime.signing import new_signing_key
from tests.support.examples import ABSOLUTE, IDLE, MINUTE
from tests.support.memory_keys import KeyTopic
from tests.support.stores import Verdicts
from tests.support.writers import SYSTEM, new_log, new_writer

KEYS = derive_keys(bytes(32))
NOBODY = "127.0.0.1:1"
"""Nothing listens here, and both drivers connect only when they are asked something."""


async def test_a_partition_whose_time_ran_ahead_issues_no_token_from_the_future() -> None:
    now = datetime.now(UTC)
    writer = new_writer(await new_log(), KeyTopic(), clock=lambda: now + 60 * MINUTE)
    pem, jwk = new_signing_key("ES256")

    def create(draft: Draft) -> None:
        draft.decide(
            SIGNING_KEYS, CreateFirstKey(kid="k", alg="ES256", public_jwk=jwk, private_pem=pem, at=draft.at)
        )

    done = await writer.transact(SIGNING_KEYS, create, SYSTEM)
    policy = TokenPolicy(
        issuer="i",
        audience="a",
        person_scope="openid",
        access_lifetime=5 * MINUTE,
        refresh_idle=IDLE,
        refresh_absolute=ABSOLUTE,
        refresh_grace=timedelta(seconds=30),
    )
    tokens = Tokens(writer, KEYS, policy, lambda: now)
    client = Registered(client_id="c", scopes=("s",), audiences=(), secret_digests=("d",))
    token = str(tokens.for_client(client, ("s",), done.position)["access_token"])
    claims = verify_access_token(token, tokens.verification_keys(), issuer="i", at=now)
    assert claims is not None
    assert claims.issued_at == int(now.timestamp())


async def test_stores_that_are_asked_no_more_vouch_for_nobody() -> None:
    postgres = await Postgres.open(f"postgresql://{NOBODY}/x")
    valkey = Valkey.open(f"redis://{NOBODY}", timeout_seconds=0.1)
    revocations = Verdicts(valkey=valkey, postgres=postgres, partitions=1).within(MINUTE)
    sessions = LiveSessions(valkey, postgres, revocations, partitions=1, stale=MINUTE)
    token = TokenIds(session_id="s", jti="j")
    found = [await revocations.verdict(token) for _ in range(2 * FAILURES)]
    assert (postgres.circuit.is_open, valkey.circuit.is_open) == (True, True)
    found.append(await revocations.verdict_at_position(token))
    assert {*found, await sessions.find("s")} == {"unknown"}
    await valkey.close()
    await postgres.close()


async def test_without_any_key_nobody_can_tell() -> None:
    postgres = await Postgres.open(f"postgresql://{NOBODY}/x")
    valkey = Valkey.open(f"redis://{NOBODY}", timeout_seconds=0.1)
    revocations = Verdicts(valkey=valkey, postgres=postgres, partitions=1).within(MINUTE)
    sessions = LiveSessions(valkey, postgres, revocations, partitions=1, stale=MINUTE)
    rules = TokenRules(issuer="i", audience="a", most_cached=1)
    key_set = KeySet(postgres, lambda: datetime.now(UTC), partitions=1, lead=MINUTE, commit=MINUTE)
    checks = TokenChecks(key_set, revocations, sessions, lambda: datetime.now(UTC), rules, KEYS.refresh_key)
    with pytest.raises(CannotKnowError):
        await checks.access_claims("x.y.z")
    await valkey.close()
    await postgres.close()
