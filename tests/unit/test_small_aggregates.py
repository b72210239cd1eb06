"""Clients, signing keys and idempotent requests, as scenarios."""

from dataclasses import replace

from domain import client, idempotency, signing_keys
from domain.aggregate import AnyAggregate
from domain.refusals import ClientExists, IdempotencyKeyReused
from events.account import EmailVerified
from events.client import ClientRegistered, ClientTokenRevoked
from events.idempotency import RequestAnswered, RequestReceived
from events.signing_keys import SigningKeyCreated
from tests.support.examples import MINUTE, NOON
from tests.support.scenario import given

REGISTERED = ClientRegistered(
    client_id="c", name="billing", scopes=("a",), audiences=(), secret_digest="d", registered_at=NOON
)
REGISTER = client.RegisterClient(
    client_id="c", name="billing", scopes=("a",), audiences=(), secret_digest="d", at=NOON
)
GIVE_UP = client.RevokeClientToken(jti="j", expires_at=NOON + MINUTE, at=NOON)
GIVEN_UP = ClientTokenRevoked(jti="j", expires_at=NOON + MINUTE)
KEY = SigningKeyCreated(kid="k", alg="ES256", public_jwk=(("kty", "EC"),), created_at=NOON, private_pem="pem")
CREATE = signing_keys.CreateFirstKey(
    kid="k", alg="ES256", public_jwk=(("kty", "EC"),), private_pem="pem", at=NOON
)
RECEIVED = RequestReceived(fingerprint="f", received_at=NOON)
OTHER = EmailVerified(challenge_id="c")


def test_a_client_registers_once() -> None:
    given(client.AGGREGATE).when(REGISTER).then(REGISTERED)
    given(client.AGGREGATE, REGISTERED).when(REGISTER).then_refused(ClientExists)


def test_a_client_gives_up_a_token_once_and_only_while_it_lives() -> None:
    given(client.AGGREGATE, REGISTERED).when(GIVE_UP).then(GIVEN_UP)
    given(client.AGGREGATE, REGISTERED, GIVEN_UP).when(GIVE_UP).then_nothing()
    given(client.AGGREGATE).when(GIVE_UP).then_nothing()
    given(client.AGGREGATE, REGISTERED).when(replace(GIVE_UP, at=NOON + MINUTE)).then_nothing()


def test_the_first_signing_key_is_made_once() -> None:
    given(signing_keys.AGGREGATE).when(CREATE).then(KEY)
    given(signing_keys.AGGREGATE, KEY).when(CREATE).then_nothing()


def test_an_erased_signing_key_is_replaced() -> None:
    given(signing_keys.AGGREGATE, replace(KEY, private_pem=None)).when(CREATE).then(KEY)


def test_the_first_body_claims_the_key() -> None:
    receive = idempotency.Receive(fingerprint="f", at=NOON)
    given(idempotency.AGGREGATE).when(receive).then(RECEIVED)
    given(idempotency.AGGREGATE, RECEIVED).when(receive).then_nothing()
    given(idempotency.AGGREGATE, RECEIVED).when(replace(receive, fingerprint="g")).then_refused(
        IdempotencyKeyReused
    )


def test_a_key_is_free_again_after_a_day() -> None:
    later = NOON + idempotency.KEPT_FOR
    receive = idempotency.Receive(fingerprint="g", at=later)
    fresh = RequestReceived(fingerprint="g", received_at=later)
    given(idempotency.AGGREGATE, RECEIVED).when(receive).then(fresh)


def test_an_answer_is_kept_for_a_day() -> None:
    kept = RequestAnswered(answer="a", answered_at=NOON)
    given(idempotency.AGGREGATE).when(idempotency.KeepAnswer(answer="a", at=NOON)).then(kept)
    state = given(idempotency.AGGREGATE, kept).state
    assert idempotency.kept_answer(state, NOON) == "a"
    assert idempotency.kept_answer(state, NOON + idempotency.KEPT_FOR) is None
    assert idempotency.kept_answer(idempotency.INITIAL, NOON) is None


def test_facts_of_other_aggregates_change_nothing() -> None:
    aggregates: list[AnyAggregate] = [client.AGGREGATE, signing_keys.AGGREGATE, idempotency.AGGREGATE]
    for aggregate in aggregates:
        assert aggregate.evolve(aggregate.initial, OTHER) == aggregate.initial
