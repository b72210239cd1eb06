"""Clients, signing keys and idempotent requests, as scenarios."""

from dataclasses import replace
from datetime import datetime, timedelta

from domain import client, idempotency, signing_keys
from domain.aggregate import AnyAggregate
from domain.refusals import ClientExists, IdempotencyKeyReused, UnknownClient
from events.account import EmailVerified
from events.client import ClientDeleted, ClientRegistered, ClientSecretAdded, ClientTokenRevoked
from events.fact import Event
from events.idempotency import RequestAnswered, RequestReceived
from events.signing_keys import SigningKeyCreated, SigningKeyRetired, SigningKeyRotated
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
ADD_SECRET = client.AddClientSecret(secret_digest="e", at=NOON)
SECRET_ADDED = ClientSecretAdded(secret_digest="e", added_at=NOON)
DELETE = client.DeleteClient(at=NOON)
DELETED = ClientDeleted(deleted_at=NOON)
KEY = SigningKeyCreated(kid="k", alg="ES256", public_jwk=(("kty", "EC"),), created_at=NOON, private_pem="pem")
CREATE = signing_keys.CreateFirstKey(
    kid="k", alg="ES256", public_jwk=(("kty", "EC"),), private_pem="pem", at=NOON
)
LIFE = 5 * MINUTE
ROTATE = signing_keys.RotateKey(
    kid="l",
    alg="EdDSA",
    public_jwk=(("kty", "OKP"),),
    private_pem="pem-2",
    lead=MINUTE,
    token_lifetime=LIFE,
    at=NOON,
)
ROTATED = SigningKeyRotated(
    kid="l",
    alg="EdDSA",
    public_jwk=(("kty", "OKP"),),
    rotated_at=NOON,
    activates_at=NOON + MINUTE,
    others_retire_at=NOON + MINUTE + LIFE + signing_keys.CLOCK_MARGIN,
    private_pem="pem-2",
)
RETIRE = signing_keys.RetireKeys(at=ROTATED.others_retire_at)
RETIRED = SigningKeyRetired(kid="k")
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


def test_two_secrets_of_a_client_live_at_most() -> None:
    given(client.AGGREGATE, REGISTERED).when(ADD_SECRET).then(SECRET_ADDED)
    third = replace(SECRET_ADDED, secret_digest="f")
    two = given(client.AGGREGATE, REGISTERED, SECRET_ADDED).state
    three = given(client.AGGREGATE, REGISTERED, SECRET_ADDED, third).state
    assert (two.secret_digests, three.secret_digests) == (("d", "e"), ("e", "f"))


def test_a_client_is_deleted_once_and_for_ever() -> None:
    given(client.AGGREGATE, REGISTERED).when(DELETE).then(DELETED)
    given(client.AGGREGATE, REGISTERED, DELETED).when(DELETE).then_nothing()
    given(client.AGGREGATE, REGISTERED, DELETED).when(REGISTER).then_refused(ClientExists)
    given(client.AGGREGATE, REGISTERED, DELETED).when(ADD_SECRET).then_refused(UnknownClient)
    given(client.AGGREGATE, REGISTERED, DELETED).when(GIVE_UP).then_nothing()


def test_a_client_that_never_was_cannot_change() -> None:
    given(client.AGGREGATE).when(DELETE).then_refused(UnknownClient)
    given(client.AGGREGATE).when(ADD_SECRET).then_refused(UnknownClient)


def test_the_first_signing_key_is_made_once() -> None:
    given(signing_keys.AGGREGATE).when(CREATE).then(KEY)
    given(signing_keys.AGGREGATE, KEY).when(CREATE).then_nothing()


def test_an_erased_signing_key_is_replaced() -> None:
    given(signing_keys.AGGREGATE, replace(KEY, private_pem=None)).when(CREATE).then(KEY)


def kids(*facts: Event, at: datetime) -> tuple[str | None, list[str]]:
    """Which key signs at this time, and which verify."""
    state = given(signing_keys.AGGREGATE, *facts).state
    signer = signing_keys.signing(state, at)
    return signer.kid if signer else None, [key.kid for key in signing_keys.verifying(state, at)]


def test_a_new_key_is_known_before_it_signs_and_the_old_one_until_its_last_token_has_expired() -> None:
    given(signing_keys.AGGREGATE, KEY).when(ROTATE).then(ROTATED)
    moment = timedelta(microseconds=1)
    assert kids(at=NOON) == (None, [])
    assert kids(KEY, ROTATED, at=ROTATED.activates_at - moment) == ("k", ["k", "l"])
    assert kids(KEY, ROTATED, at=ROTATED.activates_at) == ("l", ["k", "l"])
    assert kids(KEY, ROTATED, at=ROTATED.others_retire_at - moment) == ("l", ["k", "l"])
    assert kids(KEY, ROTATED, at=ROTATED.others_retire_at) == ("l", ["l"])


def test_a_retired_key_forgets_its_private_half_once() -> None:
    given(signing_keys.AGGREGATE, KEY, ROTATED).when(RETIRE).then(RETIRED)
    given(signing_keys.AGGREGATE, KEY, ROTATED).when(replace(RETIRE, at=NOON)).then_nothing()
    given(signing_keys.AGGREGATE, KEY, ROTATED, RETIRED).when(RETIRE).then_nothing()
    state = given(signing_keys.AGGREGATE, KEY, ROTATED, RETIRED).state
    assert [key.private_pem for key in state.keys] == [None, "pem-2"]
    given(signing_keys.AGGREGATE, KEY, ROTATED, RETIRED).when(CREATE).then_nothing()


def test_another_rotation_does_not_prolong_a_keys_time_and_forgets_those_long_retired() -> None:
    again = replace(ROTATED, kid="m", rotated_at=NOON + MINUTE, others_retire_at=NOON + 20 * MINUTE)
    state = given(signing_keys.AGGREGATE, KEY, ROTATED, again).state
    times = [ROTATED.others_retire_at, again.others_retire_at, None]
    assert [key.retires_at for key in state.keys] == times
    later = replace(again, kid="n", rotated_at=ROTATED.others_retire_at + signing_keys.REMEMBERED_FOR)
    state = given(signing_keys.AGGREGATE, KEY, ROTATED, again, later).state
    assert [key.kid for key in state.keys] == ["l", "m", "n"]


def test_where_no_key_may_sign_the_newest_that_can_does() -> None:
    erased = replace(KEY, private_pem=None)
    assert kids(erased, ROTATED, at=NOON) == ("l", ["k", "l"])
    assert kids(erased, at=NOON) == (None, ["k"])


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
