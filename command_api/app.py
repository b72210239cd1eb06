"""Wires the command process: log, keyring, writer, services, routes. All of its construction is here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry

from command_api.answers import refusal_answer, try_again_answer
from command_api.callers import Callers
from command_api.executor import Executor
from command_api.grants import Grants
from command_api.profile import Profile
from command_api.routes import accounts, me, oauth, sessions
from command_api.services import Services
from command_api.sign_in import SignIn
from command_api.sign_out import SignOut
from command_api.sign_up import SignUp, SignUpRules
from command_api.tokens import TokenPolicy, Tokens
from domain.account_commands import LockOut
from domain.aggregates import AGGREGATES
from domain.refusals import Refusal
from domain.signing_keys import CreateFirstKey
from events.streams import SIGNING_KEYS, new_id
from eventstore.commit import Actor
from eventstore.errors import CorruptLogError, OverloadedError, TryAgainError, UnavailableError
from eventstore.kafka_keys import KafkaKeyStore
from eventstore.kafka_log import KafkaLog
from eventstore.keyring import Keyring
from eventstore.provision import Topics, verify_topics
from eventstore.writer import Draft, Origin, Writer
from runtime.access_token import ALGORITHM, new_signing_key
from runtime.clock import utc_now
from runtime.health import Health
from runtime.kafka import open_admin
from runtime.keys import derive_keys
from runtime.logs import get_logger
from runtime.passwords import PasswordPool, PasswordPoolFullError
from runtime.serving.answers import failure
from runtime.serving.app import Vitals, new_app
from runtime.settings import Settings, secret_bytes

FOLLOW_SECONDS = 0.5
STALE_SECONDS = 5.0
_log = get_logger("command_api")


@contextlib.asynccontextmanager
async def open_writer(
    settings: Settings, *, deadline_seconds: float
) -> AsyncIterator[tuple[Writer, Keyring]]:
    """A writer on the real log. Partitions are read when they are first needed, or by `catch_up`."""
    async with contextlib.AsyncExitStack() as stack:
        await _verify_topics(settings)
        log = KafkaLog(settings.kafka_bootstrap, settings.events_topic, settings.partitions)
        store = KafkaKeyStore(settings.kafka_bootstrap, settings.keys_topic, settings.partitions)
        for part in (log, store):
            stack.push_async_callback(part.stop)
            await part.start()
        keyring = Keyring(store, secret_bytes(settings.key_encryption_key))
        await keyring.catch_up()
        writer = Writer(log, keyring, AGGREGATES, clock=utc_now, deadline_seconds=deadline_seconds)
        stack.push_async_callback(writer.close)
        yield writer, keyring


@contextlib.asynccontextmanager
async def open_command_api(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, ready to take commands: the log was read, and a signing key exists."""
    async with contextlib.AsyncExitStack() as stack:
        writer, keyring = await stack.enter_async_context(
            open_writer(settings, deadline_seconds=settings.command_deadline_seconds)
        )
        passwords = PasswordPool(threads=settings.password_hash_threads, queue=settings.password_hash_queue)
        stack.callback(passwords.close)
        halted = await writer.catch_up()
        await _ensure_signing_key(writer)
        health = Health()
        _note(health, halted)
        following = asyncio.create_task(_follow(writer, health))
        stack.push_async_callback(_stop, following)
        yield _app(_services(settings, writer, keyring, passwords), health)


def _app(services: Services, health: Health) -> FastAPI:
    app = new_app("Chancery Command API", Vitals(failing=health.failing, registry=CollectorRegistry()))
    app.state.services = services
    for noun in (accounts, sessions, me, oauth):
        app.include_router(noun.router)
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(TryAgainError, _on_try_again)
    app.add_exception_handler(PasswordPoolFullError, _on_pool_full)
    app.add_exception_handler(CorruptLogError, _on_halted)
    return app


def _services(settings: Settings, writer: Writer, keyring: Keyring, passwords: PasswordPool) -> Services:
    keys = derive_keys(secret_bytes(settings.secret_key))
    lock_out = LockOut(
        failures=settings.limit_sign_in_failures, duration=timedelta(seconds=settings.limit_lock_out_seconds)
    )
    executor = Executor(writer, keys.request_key)
    tokens = Tokens(writer, keys, _token_policy(settings), utc_now)
    callers = Callers(writer, tokens, utc_now)
    return Services(
        callers=callers,
        sign_up=SignUp(executor, keyring, passwords, keys, _sign_up_rules(settings)),
        sign_in=SignIn(executor, writer, passwords, keys, tokens, lock_out),
        sign_out=SignOut(executor, callers, tokens, keys),
        grants=Grants(executor, callers, tokens),
        profile=Profile(executor, writer, passwords, lock_out),
    )


def _token_policy(settings: Settings) -> TokenPolicy:
    return TokenPolicy(
        issuer=settings.issuer,
        audience=settings.audience,
        person_scope=settings.person_scope,
        access_lifetime=timedelta(seconds=settings.access_token_seconds),
        refresh_idle=timedelta(seconds=settings.refresh_idle_seconds),
        refresh_absolute=timedelta(seconds=settings.refresh_absolute_seconds),
        refresh_grace=timedelta(seconds=settings.refresh_grace_seconds),
    )


def _sign_up_rules(settings: Settings) -> SignUpRules:
    return SignUpRules(
        policy=settings.signup,
        code_lifetime=settings.code_lifetime,
        code_failures=settings.limit_code_failures,
        pending_registrations=settings.limit_pending_registrations,
    )


async def _verify_topics(settings: Settings) -> None:
    topics = Topics.of(settings)
    async with open_admin(settings.kafka_bootstrap) as admin:
        await verify_topics(admin, topics)


async def _ensure_signing_key(writer: Writer) -> None:
    """The first process to start makes the first key; the others find it."""
    pem, jwk = new_signing_key()
    kid = new_id()

    def create(draft: Draft) -> None:
        command = CreateFirstKey(kid=kid, alg=ALGORITHM, public_jwk=jwk, private_pem=pem, at=draft.at)
        draft.decide(SIGNING_KEYS, command)

    await writer.transact(SIGNING_KEYS, create, Origin(actor=Actor(kind="system", id="command_api")))


async def _follow(writer: Writer, health: Health) -> None:
    """Keep every partition near its end, so that decisions start warm and ill health shows without traffic."""
    while True:
        try:
            _note(health, await writer.catch_up())
        except UnavailableError as error:
            health.set("log", str(error))
        await asyncio.sleep(FOLLOW_SECONDS)


def _note(health: Health, halted: Mapping[int, str]) -> None:
    """A halted partition is said loudly; the others go on."""
    health.set("log", None, life_seconds=STALE_SECONDS)
    for number, reason in halted.items():
        health.set(f"partition-{number}", f"halted: {reason}")
        _log.critical("partition halted", partition=number, reason=reason)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refusal_answer(error, request.url.path).response()


async def _on_try_again(request: Request, error: Exception) -> Response:
    assert isinstance(error, TryAgainError)
    return try_again_answer(error, request.url.path).response()


async def _on_halted(request: Request, _: Exception) -> Response:
    title = "The log cannot be read here; an operator must look. Nothing was changed."
    return failure(request.url.path, 503, "log-halted", title, {"retry-after": "60"}).response()


async def _on_pool_full(request: Request, _: Exception) -> Response:
    overloaded = OverloadedError("the password pool is full")
    return try_again_answer(overloaded, request.url.path).response()
