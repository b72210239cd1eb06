"""Passkeys in a real Chromium, by the very JavaScript that `docs/how-to/passkeys.md` shows."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.encoding import base64url, parse_base32
from tests.e2e.test_sign_in import claims_of
from tests.support.browser import Page, open_page
from tests.support.chancery import Chancery
from tests.support.passkeys import challenge_of, origin_of

HOW_TO = Path(__file__).parent.parent.parent / "docs" / "how-to" / "passkeys.md"


@pytest.fixture
async def page(chancery: Chancery, tmp_path: Path) -> AsyncIterator[Page]:
    """A page of the default origin, on which the documented functions are known."""
    (script,) = re.findall(r"```js\n(.*?)```", HOW_TO.read_text(), flags=re.DOTALL)
    async with open_page(tmp_path) as opened:
        await opened.open(origin_of(chancery) + "/health/live")
        await opened.define(script)
        yield opened


async def test_a_browser_registers_a_passkey_and_signs_in_with_it(chancery: Chancery, page: Page) -> None:
    person = await chancery.new_person()
    added = await page.run("addPasskey(token)", token=person.tokens["access_token"])
    assert set(added) == {"id", "position"}
    (held,) = await page.passkeys()
    handle = parse_base32(person.account_id)
    assert handle is not None
    assert (held["isResidentCredential"], held["rpId"]) == (True, "localhost")
    assert held["userHandle"].rstrip("=").replace("+", "-").replace("/", "_") == base64url(handle)
    for _ in range(2):
        tokens = await page.run("signIn()")
        assert tokens["account_id"] == person.account_id
        assert claims_of(tokens["access_token"])["amr"] == ["hwk", "user", "mfa"]
        assert (await chancery.introspect(tokens["access_token"]))["active"] is True


async def test_a_browser_answers_the_second_step(chancery: Chancery, page: Page) -> None:
    person = await chancery.new_person()
    await page.run("addPasskey(token)", token=person.tokens["access_token"])
    waiting = await challenge_of(chancery, person)
    tokens = await page.run("answerSecondStep(waiting)", waiting=waiting)
    claims = claims_of(tokens["access_token"])
    assert (claims["amr"], claims["acr"]) == (["pwd", "hwk", "user", "mfa"], "aal2")


async def test_a_browser_does_not_register_one_authenticator_twice(chancery: Chancery, page: Page) -> None:
    person = await chancery.new_person()
    token = person.tokens["access_token"]
    await page.run("addPasskey(token)", token=token)
    with pytest.raises(AssertionError, match="InvalidStateError"):
        await page.run("addPasskey(token)", token=token)


async def test_a_browser_wants_the_user_verified(chancery: Chancery, page: Page) -> None:
    person = await chancery.new_person()
    await page.run("addPasskey(token)", token=person.tokens["access_token"])
    await page.verify_user(succeeds=False)
    with pytest.raises(AssertionError, match="NotAllowedError"):
        await page.run("signIn()")


async def test_a_page_of_another_origin_is_refused(chancery: Chancery, page: Page) -> None:
    """The browser lets any port of the relying party's host sign; the origin that it reports is not ours."""
    person = await chancery.new_person()
    await page.run("addPasskey(token)", token=person.tokens["access_token"])
    options = (await chancery.command("POST", "/v1/passkey-sessions/options")).json()
    await page.open(
        origin_of(chancery).replace(_port(chancery.command_url), _port(chancery.query_url)) + "/health/live"
    )
    sign = "navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)})"
    answer = await page.run(f"({sign}).then((credential) => credential.toJSON())", options=options)
    refused = await chancery.command("POST", "/v1/passkey-sessions", json=answer)
    assert refused.status_code == 401


def _port(url: str) -> str:
    return url.rpartition(":")[2]
