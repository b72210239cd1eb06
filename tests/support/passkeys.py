"""Passkeys at the running platform: how a person gets one and signs in with it."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from localstack.ports import free_port_variables
from tests.support.authenticator import HONEST, Authenticator, Lies
from tests.support.chancery import Chancery, Person, problem_code

Answer = dict[str, Any]


def origin_of(chancery: Chancery) -> str:
    """The page that passkeys are used from unless a setting says otherwise."""
    return f"http://localhost:{urlsplit(chancery.command_url).port}"


def new_passkey(chancery: Chancery, **more: Any) -> Authenticator:
    return Authenticator(**{"origin": origin_of(chancery), **more})


async def creation_options(chancery: Chancery, person: Person) -> Answer:
    answer = await chancery.command("POST", "/v1/me/passkeys/options", headers=person.bearer)
    assert answer.status_code == 200, answer.text
    options: Answer = answer.json()
    return options


async def request_options(chancery: Chancery) -> Answer:
    answer = await chancery.command("POST", "/v1/passkey-sessions/options")
    assert answer.status_code == 200, answer.text
    options: Answer = answer.json()
    return options


async def register(chancery: Chancery, person: Person, body: Answer, **headers: str) -> httpx.Response:
    headers = {**person.bearer, **headers}
    return await chancery.command("POST", "/v1/me/passkeys", headers=headers, json=body)


async def give_passkey(chancery: Chancery, person: Person, **more: Any) -> tuple[Authenticator, str]:
    """A registered passkey of the person, and its id."""
    passkey = new_passkey(chancery, **more)
    answer = await register(chancery, person, passkey.create(await creation_options(chancery, person)))
    assert answer.status_code == 201, answer.text
    return passkey, answer.json()["id"]


async def present(chancery: Chancery, body: Answer, **headers: str) -> httpx.Response:
    return await chancery.command("POST", "/v1/passkey-sessions", json=body, headers=headers)


async def sign_in_with(chancery: Chancery, passkey: Authenticator, lies: Lies = HONEST) -> httpx.Response:
    return await present(chancery, passkey.get(await request_options(chancery), lies))


async def challenge_of(chancery: Chancery, person: Person) -> Answer:
    """The answer to the right password of somebody who has a second factor."""
    answer = await chancery.sign_in(person.email)
    assert answer.status_code == 202, answer.text
    challenge: Answer = answer.json()
    return challenge


async def answer_with(chancery: Chancery, challenge: str, passkey: Answer) -> httpx.Response:
    body = {"challenge": challenge, "passkey": passkey}
    return await chancery.command("POST", "/v1/sessions/challenge", json=body)


@dataclass(frozen=True, slots=True)
class Held:
    """A person with a passkey."""

    person: Person
    passkey: Authenticator
    passkey_id: str


async def hold(chancery: Chancery, **more: Any) -> Held:
    person = await chancery.new_person()
    return Held(person, *await give_passkey(chancery, person, **more))


def is_refused(answer: httpx.Response) -> bool:
    return (answer.status_code, problem_code(answer)) == (401, "invalid-credentials")


async def race(answers: list[Any]) -> Counter[int]:
    return Counter(answer.status_code for answer in await asyncio.gather(*answers))


def free_port() -> int:
    return int(free_port_variables()["CHANCERY_COMMAND_PORT"])
