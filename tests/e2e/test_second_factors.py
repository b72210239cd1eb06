"""An authenticator app and recovery codes, over HTTP: enrolled, asked for, used once, taken away."""

import asyncio
import re
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import jwt
import pytest

from tests.support.authenticator_app import App, answer_challenge, challenged, confirm, start
from tests.support.chancery import OTHER_PASSWORD, Chancery, Person, bearer, problem_code

AT_ONCE = 16
FAILURES = 10
"""As `CHANCERY_LIMIT_SIGN_IN_FAILURES` says by default."""


@pytest.fixture
async def person(chancery: Chancery) -> Person:
    return await chancery.new_person()


async def me(chancery: Chancery, person: Person, position: str) -> list[str]:
    headers = {**person.bearer, "chancery-min-position": position}
    answer = await chancery.query("GET", "/v1/me", headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["factors"])


async def test_an_app_is_enrolled_and_asked_for_at_the_next_sign_in(
    chancery: Chancery, person: Person
) -> None:
    other = (await chancery.sign_in(person.email)).json()
    begun = (await start(chancery, person)).json()
    uri = urlsplit(begun["otpauth_uri"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert uri.path.lower().endswith(person.email.replace("@", "%40").lower())
    assert parse_qs(uri.query) == {"secret": [begun["secret"]], "issuer": ["Chancery"]}
    assert ET.fromstring(begun["qr_svg"]).tag.endswith("svg")  # our own answer
    assert (await chancery.sign_in(person.email)).status_code == 201, "a secret that waits counts already"
    app = App(secret=begun["secret"])
    done = await confirm(chancery, person, app.next_code())
    assert done.status_code == 200, done.text
    assert len({*done.json()["recovery_codes"]}) == 10
    await chancery.until_inactive(other["access_token"])
    assert await me(chancery, person, done.json()["position"]) == ["totp", "recovery_code"]
    asked = await challenged(chancery, person)
    assert asked["factors"] == ["totp", "recovery_code"]
    assert set(asked) == {"challenge", "factors", "expires_in", "position"}
    answer = await answer_challenge(chancery, asked["challenge"], totp=app.next_code())
    assert answer.status_code == 201, answer.text
    tokens = answer.json()
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (claims["amr"], claims["acr"]) == (["pwd", "otp", "mfa"], "aal2")
    told = await chancery.introspect(tokens["access_token"], **{"chancery-min-position": tokens["position"]})
    assert (told["amr"], told["acr"]) == (["pwd", "otp", "mfa"], "aal2")


async def test_the_session_that_enrolled_is_as_strong_from_then_on(
    chancery: Chancery, person: Person
) -> None:
    await App.enrolled(chancery, person)
    refreshed = (await chancery.refresh(person.tokens["refresh_token"])).json()
    claims = jwt.decode(refreshed["access_token"], options={"verify_signature": False})
    assert (claims["amr"], claims["acr"]) == (["pwd", "otp", "mfa"], "aal2")
    at = {"chancery-min-position": refreshed["position"]}
    told = await chancery.introspect(refreshed["refresh_token"], **at)
    assert (told["amr"], told["acr"]) == (["pwd", "otp", "mfa"], "aal2")


async def test_each_factor_is_shown_with_its_times(chancery: Chancery, person: Person) -> None:
    app = await App.enrolled(chancery, person)
    asked = await challenged(chancery, person)
    await answer_challenge(chancery, asked["challenge"], recovery_code=app.recovery_codes[0])
    asked = await challenged(chancery, person)
    tokens = (await answer_challenge(chancery, asked["challenge"], totp=app.next_code())).json()
    headers = {**bearer(tokens["access_token"]), "chancery-min-position": tokens["position"]}
    answer = await chancery.query("GET", "/v1/me/factors", headers=headers)
    content = answer.json()
    assert content["totp"]["enrolled_at"] < content["totp"]["last_used_at"]
    assert content["recovery_codes"]["left"] == 9
    assert content["passkeys"] == []
    assert app.secret not in answer.text


async def test_the_owner_is_told_by_mail(chancery: Chancery, person: Person) -> None:
    app = await App.enrolled(chancery, person)
    asked = await challenged(chancery, person)
    await answer_challenge(chancery, asked["challenge"], recovery_code=app.recovery_codes[0])
    mails = [mail for mail in await chancery.mails_to(person.email, 3) if "sign in" in mail.subject]
    texts = [mail.text for mail in mails]
    assert [text.split(" Chancery")[0].splitlines()[-1] for text in texts] == [
        "an authenticator app was added to your",
        "a recovery code was used to sign in to your",
    ]
    assert not [text for text in texts if app.recovery_codes[0] in text or app.secret in text]


async def test_abuse_e1_a_code_works_once_whichever_sign_ins_it_is_presented_for(
    chancery: Chancery, person: Person
) -> None:
    app = await App.enrolled(chancery, person)
    sign_ins = [(await challenged(chancery, person))["challenge"] for _ in range(8)]
    code = app.next_code()
    answers = await asyncio.gather(
        *(answer_challenge(chancery, sign_ins[n % len(sign_ins)], totp=code) for n in range(AT_ONCE))
    )
    assert Counter(answer.status_code for answer in answers)[201] == 1
    assert {problem_code(a) for a in answers if a.status_code != 201} == {"invalid-code"}


async def test_abuse_e6_a_recovery_code_works_once_however_it_is_spelt(
    chancery: Chancery, person: Person
) -> None:
    app = await App.enrolled(chancery, person)
    asked = await challenged(chancery, person)
    spelt = app.recovery_codes[3].upper().replace("-", " ")
    answer = await answer_challenge(chancery, asked["challenge"], recovery_code=spelt)
    assert answer.status_code == 201, answer.text
    again = await challenged(chancery, person)
    refused = await answer_challenge(chancery, again["challenge"], recovery_code=app.recovery_codes[3])
    assert (refused.status_code, problem_code(refused)) == (401, "invalid-code")
    assert (await answer_challenge(chancery, again["challenge"], totp=app.next_code())).status_code == 201


async def test_abuse_e6_no_store_holds_a_secret_or_a_code(chancery: Chancery, person: Person) -> None:
    """In the files of Kafka, and in PostgreSQL's write-ahead log, which every row goes through."""
    app = await App.enrolled(chancery, person)
    challenge = (await challenged(chancery, person))["challenge"]
    used = await answer_challenge(chancery, challenge, recovery_code=app.recovery_codes[0])
    session_id = used.json()["session_id"]
    await chancery.introspect(
        used.json()["access_token"], **{"chancery-min-position": used.json()["position"]}
    )
    secrets = [
        word.encode()
        for code in (app.secret, *app.recovery_codes)
        for word in (code, code.replace("-", ""), code.lower())
    ]
    wanted = re.compile(b"|".join(map(re.escape, (*secrets, session_id.encode()))))
    files = {"kafka": "*.log", "postgres": "pg_wal/*"}
    found = {
        store: await asyncio.to_thread(words_in, chancery.home / store, files[store], wanted)
        for store in files
    }
    assert found == {store: {session_id.encode()} for store in files}


def words_in(folder: Path, pattern: str, wanted: re.Pattern[bytes]) -> set[bytes]:
    files = [path for path in folder.rglob(pattern) if path.is_file()]
    return {word for path in files for word in wanted.findall(path.read_bytes())}


async def test_new_recovery_codes_take_the_password_and_kill_the_old(
    chancery: Chancery, person: Person
) -> None:
    app = await App.enrolled(chancery, person)
    path, headers = "/v1/me/recovery-codes", person.bearer
    wrong = await chancery.command("POST", path, headers=headers, json={"password": OTHER_PASSWORD})
    assert (wrong.status_code, problem_code(wrong)) == (403, "wrong-password")
    new = await chancery.command("POST", path, headers=headers, json={"password": person.password})
    assert new.status_code == 200, new.text
    codes = new.json()["recovery_codes"]
    assert (len({*codes}), {*codes} & {*app.recovery_codes}) == (10, set())
    asked = await challenged(chancery, person)
    dead = await answer_challenge(chancery, asked["challenge"], recovery_code=app.recovery_codes[0])
    assert dead.status_code == 401
    live = await answer_challenge(chancery, asked["challenge"], recovery_code=codes[0])
    assert live.status_code == 201


async def test_abuse_e7_a11_a_challenge_opens_nothing_by_itself(chancery: Chancery, person: Person) -> None:
    await App.enrolled(chancery, person)
    challenge = (await challenged(chancery, person))["challenge"]
    assert await chancery.introspect(challenge) == {"active": False}
    assert (await chancery.query("GET", "/v1/me", headers=bearer(challenge))).status_code == 401
    assert (await chancery.query("GET", "/v1/forward-auth", headers=bearer(challenge))).status_code == 401
    assert (await chancery.command("DELETE", "/v1/sessions", headers=bearer(challenge))).status_code == 401
    assert (await chancery.refresh(challenge)).json()["error"] == "invalid_grant"
    undone = await chancery.command("POST", "/v1/email-changes/undo", json={"code": challenge})
    assert problem_code(undone) == "invalid-code"


@pytest.mark.parametrize("forge", ["other prefix", "changed", "another's", "cut", "empty answer"])
async def test_a_challenge_that_was_not_made_here_gets_the_same_answer(
    chancery: Chancery, person: Person, forge: str
) -> None:
    app = await App.enrolled(chancery, person)
    challenge = (await challenged(chancery, person))["challenge"]
    other = await chancery.new_person()
    await App.enrolled(chancery, other)
    forged = {
        "other prefix": challenge.replace("csc_", "cuc_"),
        "changed": challenge[:-2] + ("AA" if challenge[-2:] != "AA" else "BA"),
        "another's": (await challenged(chancery, other))["challenge"],
        "cut": challenge[:-4],
        "empty answer": challenge,
    }[forge]
    code = app.next_code() if forge != "empty answer" else " "
    refused = await answer_challenge(chancery, forged, totp=code)
    assert (refused.status_code, problem_code(refused)) == (401, "invalid-code")


@pytest.mark.parametrize(
    "answer", [{}, {"totp": "123456", "recovery_code": "x"}, {"totp": None}, {"totp": 1}, {"code": "1"}]
)
async def test_an_answer_of_another_shape_is_told_so(chancery: Chancery, answer: dict[str, object]) -> None:
    refused = await answer_challenge(chancery, "csc_x", **answer)
    assert (refused.status_code, problem_code(refused)) == (422, "validation-failed")


async def test_abuse_d7_wrong_codes_at_once_in_many_sign_ins_are_counted_together(
    chancery: Chancery, person: Person
) -> None:
    app = await App.enrolled(chancery, person)
    sign_ins = [(await challenged(chancery, person))["challenge"] for _ in range(8)]
    wrong = app.wrong_code()
    answers = await asyncio.gather(
        *(answer_challenge(chancery, sign_ins[n % 8], totp=wrong) for n in range(4 * FAILURES))
    )
    assert {answer.status_code for answer in answers} == {401}
    late = await answer_challenge(chancery, sign_ins[0], totp=app.next_code())
    assert late.status_code == 401, "codes are not locked"
    headers = {**person.bearer, "prefer": "wait=5"}
    seen = await chancery.query("GET", "/v1/me/activity?limit=100", headers=headers)
    causes = Counter(
        item["details"].get("cause") for item in seen.json()["items"] if item["type"] == "sign_in.failed"
    )
    assert causes["wrong-totp"] <= FAILURES


async def test_abuse_e8_removing_the_app_takes_the_password_and_ends_other_sessions(
    chancery: Chancery, person: Person
) -> None:
    app = await App.enrolled(chancery, person)
    asked = await challenged(chancery, person)
    other = (await answer_challenge(chancery, asked["challenge"], totp=app.next_code())).json()
    path, headers = "/v1/me/factors/totp", person.bearer
    wrong = await chancery.command("DELETE", path, headers=headers, json={"password": OTHER_PASSWORD})
    assert (wrong.status_code, problem_code(wrong)) == (403, "wrong-password")
    removed = await chancery.command("DELETE", path, headers=headers, json={"password": person.password})
    assert removed.status_code == 204, removed.text
    await chancery.until_inactive(other["access_token"])
    assert await me(chancery, person, removed.headers["chancery-position"]) == []
    assert (await chancery.sign_in(person.email)).status_code == 201
    without = await chancery.command(
        "POST", "/v1/me/recovery-codes", headers=headers, json={"password": person.password}
    )
    assert (without.status_code, problem_code(without)) == (409, "factor-missing")


async def test_abuse_h8_a_new_password_by_mail_does_not_skip_the_second_factor(
    chancery: Chancery, person: Person
) -> None:
    await App.enrolled(chancery, person)
    await chancery.command("POST", "/v1/password-resets", json={"email": person.email})
    body = {"email": person.email, "code": await chancery.code_for(person.email, 2)}
    done = await chancery.command(
        "POST", "/v1/password-resets/confirm", json={**body, "new_password": OTHER_PASSWORD}
    )
    assert done.status_code == 204, done.text
    assert (await chancery.sign_in(person.email, OTHER_PASSWORD)).status_code == 202


async def test_eight_characters_are_enough_beside_a_factor_and_keep_it_there(
    chancery: Chancery, person: Person
) -> None:
    body = {"current_password": person.password, "new_password": "xk7 qpw3"}
    short = await chancery.command("PUT", "/v1/me/password", headers=person.bearer, json=body)
    assert (short.status_code, problem_code(short)) == (422, "password-too-short")
    assert short.json()["errors"][0]["pointer"] == "/new_password"
    await App.enrolled(chancery, person)
    changed = await chancery.command("PUT", "/v1/me/password", headers=person.bearer, json=body)
    assert changed.status_code == 204, changed.text
    removed = await chancery.command(
        "DELETE", "/v1/me/factors/totp", headers=person.bearer, json={"password": "xk7 qpw3"}
    )
    assert (removed.status_code, problem_code(removed)) == (409, "factor-needed")


async def test_abuse_c3_that_a_short_password_would_do_is_told_only_to_who_has_the_code(
    chancery: Chancery, person: Person
) -> None:
    plain = await chancery.new_person()
    await App.enrolled(chancery, person)
    answers = []
    for email in (person.email, plain.email, "nobody@example.com"):
        body = {"email": email, "code": "00000000", "new_password": "xk7 qpw3"}
        answers.append(await chancery.command("POST", "/v1/password-resets/confirm", json=body))
    assert {(a.status_code, a.content) for a in answers} == {(400, answers[0].content)}
    await chancery.command("POST", "/v1/password-resets", json={"email": plain.email})
    body = {"email": plain.email, "code": await chancery.code_for(plain.email, 2), "new_password": "xk7 qpw3"}
    short = await chancery.command("POST", "/v1/password-resets/confirm", json=body)
    assert (short.status_code, problem_code(short)) == (422, "password-too-short")
    longer = await chancery.command(
        "POST", "/v1/password-resets/confirm", json={**body, "new_password": OTHER_PASSWORD}
    )
    assert longer.status_code == 204, "the refused password used up the code"


async def test_a_repeated_request_gets_the_same_secret_and_the_same_codes(
    chancery: Chancery, person: Person
) -> None:
    key = {"idempotency-key": "enrol-1"}
    first, again = [await start(chancery, person, **key) for _ in range(2)]
    assert (first.status_code, first.content) == (201, again.content)
    code, key = App(secret=first.json()["secret"]).next_code(), {"idempotency-key": "confirm-1"}
    first, again = [await confirm(chancery, person, code, **key) for _ in range(2)]
    assert (first.status_code, first.content) == (200, again.content)


async def test_another_session_gets_no_secret_under_the_key_of_this_one(
    chancery: Chancery, person: Person
) -> None:
    other = Person(email=person.email, password=person.password, account_id=person.account_id)
    other.tokens = (await chancery.sign_in(person.email)).json()
    key = {"idempotency-key": "enrol-1"}
    mine, others = await start(chancery, person, **key), await start(chancery, other, **key)
    assert mine.json()["secret"] != others.json()["secret"]
    app = App(secret=others.json()["secret"])
    done = await confirm(chancery, other, app.next_code(), **key)
    assert done.status_code == 200, done.text
    assert (await start(chancery, person, **{"idempotency-key": "enrol-2"})).status_code == 401
    assert (await confirm(chancery, person, app.next_code(), **key)).status_code == 401


async def test_abuse_c1_a_wrong_password_is_answered_alike_with_and_without_a_factor(
    chancery: Chancery, person: Person
) -> None:
    plain = await chancery.new_person()
    await App.enrolled(chancery, person)
    answers = [await chancery.sign_in(one.email, OTHER_PASSWORD) for one in (person, plain)]
    assert {(a.status_code, a.content) for a in answers} == {(401, answers[0].content)}
