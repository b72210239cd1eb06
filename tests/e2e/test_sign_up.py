"""Sign-up and proof of the address, over HTTP."""

import asyncio

import pytest

from tests.support.chancery import OTHER_PASSWORD, PASSWORD, Chancery, new_email, problem_code


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08d}"


async def test_a_person_signs_up_proves_the_address_and_signs_in(chancery: Chancery) -> None:
    email = new_email()
    answer = await chancery.sign_up(email, display_name="Ada")
    assert (answer.status_code, answer.json()) == (202, {"status": "verification_sent"})
    assert "chancery-position" not in answer.headers
    (mail,) = await chancery.mails_to(email)
    assert mail.to == email
    verified = await chancery.verify(email, mail.code)
    assert verified.status_code == 200
    assert set(verified.json()) == {"account_id", "position"}
    assert verified.headers["chancery-position"] == verified.json()["position"]
    assert (await chancery.sign_in(email)).status_code == 201


async def test_abuse_c1_the_answer_is_the_same_for_a_known_address(chancery: Chancery) -> None:
    person = await chancery.new_person()
    known, unknown = await chancery.sign_up(person.email), await chancery.sign_up(new_email())
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert set(known.headers) == set(unknown.headers)
    mails = await chancery.mails_to(person.email, 2)
    assert mails[1].code is None
    assert "already" in mails[1].text
    assert (await chancery.sign_in(person.email)).status_code == 201


async def test_a_code_activates_only_the_registration_it_was_sent_for(chancery: Chancery) -> None:
    email = new_email()
    await chancery.sign_up(email, "the attacker's own password")
    first = await chancery.code_for(email, 1)
    await chancery.sign_up(email, OTHER_PASSWORD)
    second = await chancery.code_for(email, 2)
    assert (await chancery.verify(email, second)).status_code == 200
    assert (await chancery.sign_in(email, OTHER_PASSWORD)).status_code == 201
    assert (await chancery.sign_in(email, "the attacker's own password")).status_code == 401
    assert problem_code(await chancery.verify(email, first)) == "invalid-code"
    assert (await chancery.sign_in(email, "the attacker's own password")).status_code == 401


async def test_the_first_of_two_codes_activates_the_first_registration_only(chancery: Chancery) -> None:
    email = new_email()
    await chancery.sign_up(email, PASSWORD)
    first = await chancery.code_for(email, 1)
    await chancery.sign_up(email, OTHER_PASSWORD)
    assert (await chancery.verify(email, first)).status_code == 200
    assert (await chancery.sign_in(email, PASSWORD)).status_code == 201
    assert (await chancery.sign_in(email, OTHER_PASSWORD)).status_code == 401


async def test_wrong_used_and_malformed_codes_get_one_answer(chancery: Chancery) -> None:
    email = new_email()
    await chancery.sign_up(email)
    code = await chancery.code_for(email)
    bodies = {(await chancery.verify(email, wrong(code))).content}
    bodies.add((await chancery.verify(email, "abc")).content)
    bodies.add((await chancery.verify(new_email(), code)).content)
    assert (await chancery.verify(email, code)).status_code == 200
    used = await chancery.verify(email, code)
    bodies.add(used.content)
    assert (used.status_code, problem_code(used), len(bodies)) == (400, "invalid-code", 1)


async def test_abuse_h5_a_code_presented_sixteen_times_at_once_works_once(
    chancery: Chancery, twin: Chancery
) -> None:
    email = new_email()
    await chancery.sign_up(email)
    code = await chancery.code_for(email)
    answers = await asyncio.gather(*((chancery, twin)[n % 2].verify(email, code) for n in range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 15


async def test_a_code_dies_of_too_many_guesses_and_a_new_one_works(chancery: Chancery) -> None:
    email = new_email()
    await chancery.sign_up(email)
    code = await chancery.code_for(email)
    for _ in range(10):
        assert (await chancery.verify(email, wrong(code))).status_code == 400
    assert (await chancery.verify(email, code)).status_code == 400
    resent = await chancery.command("POST", "/v1/email-verifications/resend", json={"email": email})
    assert resent.status_code == 202
    new = await chancery.code_for(email, 2)
    assert new != code
    assert (await chancery.verify(email, new)).status_code == 200


async def test_asking_again_for_a_code_says_nothing_about_the_address(chancery: Chancery) -> None:
    person = await chancery.new_person()
    waiting = new_email()
    await chancery.sign_up(waiting)
    answers = [
        await chancery.command("POST", "/v1/email-verifications/resend", json={"email": email})
        for email in (person.email, waiting, new_email())
    ]
    assert {(a.status_code, a.content) for a in answers} == {(202, b'{"status":"verification_sent"}')}
    assert len(await chancery.mails_to(waiting, 2)) == 2
    assert len(await chancery.mails_to(person.email)) == 1


async def test_abuse_h4_a_new_code_says_which_sign_up_it_is_for(chancery: Chancery) -> None:
    """The owner signs up, an attacker signs up with the same address, the owner asks for the code again."""
    email = new_email()
    await chancery.sign_up(email, PASSWORD)
    await chancery.sign_up(email, OTHER_PASSWORD)
    await chancery.command("POST", "/v1/email-verifications/resend", json={"email": email})
    mails = await chancery.mails_to(email, 4)
    assert len({mail.code for mail in mails}) == 4
    assert all("the sign-up made at" in mail.text for mail in mails[2:])
    assert (await chancery.verify(email, mails[0].code)).status_code == 400
    assert (await chancery.verify(email, mails[2].code)).status_code == 200
    assert (await chancery.sign_in(email, PASSWORD)).status_code == 201
    assert (await chancery.sign_in(email, OTHER_PASSWORD)).status_code == 401


async def test_an_unproven_address_cannot_sign_in(chancery: Chancery) -> None:
    email = new_email()
    await chancery.sign_up(email)
    assert problem_code(await chancery.sign_in(email)) == "invalid-credentials"


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"email": "nobody", "password": PASSWORD}, "invalid-email", "/email"),
        ({"email": "a@b.example", "password": "fourteen chars"}, "password-too-short", "/password"),
        ({"email": "a@b.example", "password": "long " * 60}, "password-too-long", "/password"),
        ({"email": "a@b.example", "password": "passwordpassword"}, "password-too-common", "/password"),
        (
            {"email": "a@b.example", "password": PASSWORD, "display_name": "a\nb"},
            "invalid-display-name",
            "/display_name",
        ),
        ({"email": "a@b.example"}, "validation-failed", "/password"),
        ({"email": ["a@b.example"], "password": PASSWORD}, "validation-failed", "/email"),
        ({"email": None, "password": PASSWORD}, "validation-failed", "/email"),
        ({"email": "a@b.example", "password": 15}, "validation-failed", "/password"),
        ({"email": "a@b.example", "password": "x" * 2000}, "validation-failed", "/password"),
        ({"email": "a@b.example", "password": PASSWORD, "verified": True}, "validation-failed", "/verified"),
        ([], "validation-failed", ""),
    ],
)
async def test_abuse_h2_i2_bad_registrations_say_what_to_change(
    chancery: Chancery, body: object, code: str, pointer: str
) -> None:
    answer = await chancery.command("POST", "/v1/accounts", json=body)
    assert (answer.status_code, problem_code(answer)) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("code", ["", [], None, 12345678, {"a": 1}, "1" * 65])
async def test_abuse_h6_an_empty_or_odd_code_is_refused(chancery: Chancery, code: object) -> None:
    answer = await chancery.command(
        "POST", "/v1/email-verifications", json={"email": "a@b.example", "code": code}
    )
    assert answer.status_code == 422


async def test_the_open_policy_lets_in_at_once_and_says_when_an_address_is_taken(
    open_chancery_policy: Chancery,
) -> None:
    email = new_email()
    answer = await open_chancery_policy.sign_up(email)
    assert answer.status_code == 201
    assert set(answer.json()) == {"account_id", "position"}
    assert answer.headers["chancery-position"] == answer.json()["position"]
    tokens = (await open_chancery_policy.sign_in(email)).json()
    assert tokens["account_id"] == answer.json()["account_id"]
    me = await open_chancery_policy.query(
        "GET",
        "/v1/me",
        headers={
            "authorization": f"Bearer {tokens['access_token']}",
            "chancery-min-position": tokens["position"],
        },
    )
    assert (me.json()["email"], me.json()["email_verified"]) == (email, False)
    taken = await open_chancery_policy.sign_up(email.upper())
    assert (taken.status_code, problem_code(taken)) == (409, "email-taken")
    proven = await open_chancery_policy.verify(email, await open_chancery_policy.code_for(email))
    assert proven.json()["account_id"] == answer.json()["account_id"]


async def test_an_open_sign_up_ends_what_waited_for_the_address(
    chancery: Chancery, open_chancery_policy: Chancery
) -> None:
    email = new_email()
    await chancery.sign_up(email, OTHER_PASSWORD)
    code = await chancery.code_for(email)
    assert (await open_chancery_policy.sign_up(email, PASSWORD)).status_code == 201
    assert (await chancery.verify(email, code)).status_code == 400
    assert (await chancery.sign_in(email, OTHER_PASSWORD)).status_code == 401
    assert (await chancery.sign_in(email, PASSWORD)).status_code == 201


async def test_abuse_h7_one_address_signed_up_by_two_processes_at_once_has_one_owner(
    open_chancery_policy: Chancery, chancery: Chancery
) -> None:
    email = new_email()
    answers = await asyncio.gather(
        *(open_chancery_policy.sign_up(email) for _ in range(6)), chancery.sign_up(email)
    )
    statuses = sorted(answer.status_code for answer in answers[:6])
    assert statuses == [201] + [409] * 5
