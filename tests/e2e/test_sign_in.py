"""Sign-in, tokens and refresh with rotation, over HTTP."""

import asyncio
import base64
import json
import statistics
import time

import pytest

from tests.support.chancery import OTHER_PASSWORD, Chancery, new_email, problem_code

TOKEN_MEMBERS = {
    "access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in", "scope", "session_id",
    "account_id", "position",
}  # fmt: skip


def claims_of(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def test_a_sign_in_answers_with_the_documented_tokens(chancery: Chancery) -> None:
    person = await chancery.new_person()
    answer = await chancery.sign_in(person.email.upper().replace("@EXAMPLE.COM", "@Example.Com"))
    tokens = answer.json()
    assert answer.status_code == 201
    assert set(tokens) == TOKEN_MEMBERS
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 300)
    assert tokens["refresh_expires_in"] == 14 * 86_400
    assert answer.headers["chancery-position"] == tokens["position"]
    assert answer.headers["cache-control"] == "no-store"
    claims = claims_of(tokens["access_token"])
    assert set(claims) == {
        "iss", "sub", "aud", "exp", "iat", "jti", "client_id", "sid", "auth_time", "amr", "acr", "scope",
    }  # fmt: skip
    assert (claims["sub"], claims["sid"]) == (person.account_id, tokens["session_id"])
    assert (claims["amr"], claims["acr"], claims["client_id"]) == (["pwd"], "aal1", "chancery")


async def test_abuse_b6_every_sign_in_is_a_session_of_its_own(chancery: Chancery) -> None:
    person = await chancery.new_person()
    again = (await chancery.sign_in(person.email)).json()
    assert again["session_id"] != person.tokens["session_id"]
    assert again["refresh_token"] != person.tokens["refresh_token"]


async def test_abuse_c1_unknown_unproven_and_wrong_get_one_answer(chancery: Chancery) -> None:
    person = await chancery.new_person()
    unproven = new_email()
    await chancery.sign_up(unproven)
    answers = [
        await chancery.sign_in(person.email, OTHER_PASSWORD),
        await chancery.sign_in(new_email()),
        await chancery.sign_in(unproven),
        await chancery.sign_in("not an address"),
    ]
    assert {(a.status_code, a.content) for a in answers} == {(401, answers[0].content)}
    assert problem_code(answers[0]) == "invalid-credentials"


async def test_abuse_c2_unknown_and_wrong_take_the_same_work(chancery: Chancery) -> None:
    """Both append one commit and hash once: medians of interleaved samples differ by far less than a hash."""
    people = [await chancery.new_person() for _ in range(4)]
    known: list[float] = []
    unknown: list[float] = []
    for n in range(24):
        for email, samples in ((people[n % 4].email, known), (new_email(), unknown)):
            began = time.perf_counter()
            await chancery.sign_in(email, OTHER_PASSWORD)
            samples.append(time.perf_counter() - began)
    ratio = statistics.median(known) / statistics.median(unknown)
    assert 0.5 < ratio < 2, f"known takes {ratio:.2f} times unknown"


async def test_abuse_d1_after_too_many_failures_the_right_password_fails_too(
    chancery: Chancery, twin: Chancery
) -> None:
    person = await chancery.new_person()
    wrong = await asyncio.gather(
        *((chancery, twin)[n % 2].sign_in(person.email, OTHER_PASSWORD) for n in range(16))
    )
    assert {answer.status_code for answer in wrong} == {401}
    locked = await chancery.sign_in(person.email)
    assert (locked.status_code, locked.content) == (401, wrong[0].content)
    assert (await chancery.introspect(person.tokens["access_token"]))["active"] is True


async def test_a_refresh_token_rotates(chancery: Chancery) -> None:
    person = await chancery.new_person()
    answer = await chancery.refresh(person.tokens["refresh_token"])
    rotated = answer.json()
    assert answer.status_code == 200
    assert set(rotated) == TOKEN_MEMBERS
    assert rotated["session_id"] == person.tokens["session_id"]
    assert rotated["refresh_token"] != person.tokens["refresh_token"]
    assert answer.headers["chancery-position"] == rotated["position"]
    assert (await chancery.refresh(rotated["refresh_token"])).status_code == 200


async def test_abuse_b3_b5_a_lost_answer_gets_the_same_successor(chancery: Chancery, twin: Chancery) -> None:
    person = await chancery.new_person()
    answers = await asyncio.gather(
        *((chancery, twin)[n % 2].refresh(person.tokens["refresh_token"]) for n in range(16))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_abuse_b4_an_older_token_is_theft_and_ends_the_session(chancery: Chancery) -> None:
    person = await chancery.new_person()
    first = person.tokens["refresh_token"]
    second = (await chancery.refresh(first)).json()["refresh_token"]
    third = (await chancery.refresh(second)).json()
    stolen = await chancery.refresh(first)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert (await chancery.refresh(third["refresh_token"])).status_code == 400
    assert (await chancery.refresh(second)).status_code == 400
    await chancery.until_inactive(third["access_token"])


async def test_a_refresh_may_narrow_the_scope_but_never_widen_it(chancery: Chancery) -> None:
    person = await chancery.new_person()
    narrow = await chancery.refresh(person.tokens["refresh_token"], scope="openid")
    assert narrow.json()["scope"] == "openid"
    wide = await chancery.refresh(narrow.json()["refresh_token"], scope="openid chancery.admin")
    assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "crt_" + "A" * 91}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x", "client_id": "other"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}, 401, "invalid_client"),
    ],
)
async def test_bad_grants_get_the_errors_of_rfc_6749(
    chancery: Chancery, form: dict[str, str], status: int, error: str
) -> None:
    answer = await chancery.command(
        "POST", "/oauth/token", data=form, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}


async def test_a_parameter_that_occurs_twice_is_refused(chancery: Chancery) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = "grant_type=refresh_token&refresh_token=a&refresh_token=b"
    answer = await chancery.command("POST", "/oauth/token", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_changed_refresh_token_is_refused(chancery: Chancery) -> None:
    person = await chancery.new_person()
    token = person.tokens["refresh_token"]
    for changed in (
        token[:-1],
        token + "A",
        token[:-1] + ("B" if token[-1] == "A" else "A"),
        token[4:],
        token + "=",
    ):
        assert (await chancery.refresh(changed)).status_code == 400
    assert (await chancery.refresh(token)).status_code == 200
