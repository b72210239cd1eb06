"""Wires the command process: log, keyring, writer, services, routes. All of its construction is here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry

from command_api.admin_accounts import AdminAccounts
from command_api.answers import refusal_answer, try_again_answer
from command_api.callers import Callers
from command_api.calls import weighed
from command_api.challenges import Challenges
from command_api.clients import Clients
from command_api.close_account import Closing
from command_api.email_change import EmailChangeRules, EmailChanges
from command_api.errands import ErrandRunner
from command_api.executor import Executor
from command_api.fellows import Fellows, open_fellows
from command_api.grants import Grants
from command_api.new_sessions import NewSessions
from command_api.open_writer import Opened, open_writer, stop
from command_api.passkey_proof import PasskeyProof
from command_api.passkey_rules import Passkeys
from command_api.passkey_sign_in import PasskeySignIn
from command_api.passkeys import OwnPasskeys
from command_api.password_proof import PasswordProof
from command_api.password_reset import CodeRules, PasswordResets
from command_api.profile import Profile
from command_api.rate_limits import RateLimits
from command_api.routes import (
    accounts,
    admin_accounts,
    clients,
    email_changes,
    factors,
    me,
    oauth,
    passkeys,
    password_resets,
    sessions,
    signing_keys,
    system,
)
from command_api.second_factors import FactorRules, SecondFactors
from command_api.second_step import SecondStep
from command_api.services import Services
from command_api.sign_in import SignIn, SignInRules
from command_api.sign_out import SignOut
from command_api.sign_up import SignUp, SignUpRules
from command_api.signing_keys import KeyPolicy, KeyRotation, ensure_signing_key, retire_signing_keys
from command_api.system import SystemCommands
from command_api.system_caller import SystemCallers
from command_api.tokens import TokenPolicy, Tokens
from domain.account_commands import LockOut
from domain.refusals import Refusal
from events.streams import SIGNING_KEYS, partition_of
from eventstore.errors import CorruptLogError, OverloadedError, TryAgainError, UnavailableError
from eventstore.writer import Writer
from runtime.circuit import show_circuits
from runtime.factor_settings import parse_origins
from runtime.health import Health
from runtime.keys import DerivedKeys, derive_keys
from runtime.logs import get_logger
from runtime.metrics import COMMANDS_OPEN, DECISION_SECONDS, PASSWORDS_IN_WORK, VOID_RECORDS
from runtime.passkeys import RelyingParty
from runtime.passwords import PasswordPool, PasswordPoolFullError
from runtime.rate_counters import CONNECTION_SECONDS, RateCounters
from runtime.redis import Valkey
from runtime.serving.answers import failure
from runtime.serving.app import Vitals, new_app
from runtime.serving.client_address import KnownClient
from runtime.serving.server import Listener, bind
from runtime.settings import Settings, secret_bytes

FOLLOW_SECONDS = 0.5
STALE_SECONDS = 5.0
_log = get_logger("command_api")


@contextlib.asynccontextmanager
async def open_command_api(settings: Settings, leaving: asyncio.Event) -> AsyncIterator[Sequence[Listener]]:
    """What is to be served, ready to take commands: the log was read, and a signing key exists."""
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(
            open_writer(settings, deadline_seconds=settings.command_deadline_seconds)
        )
        writer = opened.writer
        passwords = PasswordPool(
            threads=settings.password_hash_threads,
            queue=settings.password_hash_queue,
            patience_seconds=settings.command_deadline_seconds / 2,
        )
        stack.callback(passwords.close)
        halted = await _first_read(writer, settings.start_seconds)
        if partition_of(SIGNING_KEYS, settings.partitions) not in halted:
            await ensure_signing_key(writer, settings.signing_algorithm)
        with contextlib.suppress(CorruptLogError):  # what needs a key then answers `log-halted`
            await writer.pin(SIGNING_KEYS)
        health = Health()
        _note(health, halted)
        fellows = await stack.enter_async_context(open_fellows(settings))
        errands = ErrandRunner(writer, opened.clock, partitions=settings.partitions)
        for work in (
            _follow(opened, health, fellows, partition_of(SIGNING_KEYS, settings.partitions)),
            errands.run(fellows.own_partitions),
            fellows.leave_when(leaving),
        ):
            stack.push_async_callback(stop, asyncio.create_task(work))
        vitals = Vitals(
            process="command", failing=health.failing, registry=CollectorRegistry(), leaving=leaving
        )
        _show_work(vitals.registry, writer, passwords)
        show_circuits(vitals.registry, postgres=opened.circuit, **fellows.circuits)
        limits = await stack.enter_async_context(_open_rate_limits(settings, vitals.registry))
        request_key = derive_keys(secret_bytes(settings.secret_key)).request_key
        seconds = DECISION_SECONDS.made(vitals.registry)
        executor = Executor(writer, request_key, opened.clock, fellows.forwarding, seconds)
        services = _services(settings, opened, passwords, errands, executor, limits)
        app = _app(services, vitals, settings.command_deadline_seconds)
        outside = KnownClient(app, settings.trusted_proxies)
        public = Listener(app=outside, socket=bind(settings.bind_host, settings.command_port))
        await fellows.join()
        yield (public, *fellows.listeners(app))


def _show_work(registry: CollectorRegistry, writer: Writer, passwords: PasswordPool) -> None:
    COMMANDS_OPEN.made(registry).set_function(lambda: writer.open_commands)
    VOID_RECORDS.show(registry, lambda: writer.void_records)
    PASSWORDS_IN_WORK.made(registry).set_function(lambda: passwords.in_work)


@contextlib.asynccontextmanager
async def _open_rate_limits(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[RateLimits]:
    valkey = Valkey.open(settings.redis_url.get_secret_value(), timeout_seconds=CONNECTION_SECONDS)
    counters = RateCounters(valkey, registry, divisor=settings.limit_alone_divisor)
    try:
        yield RateLimits.of(settings, counters, derive_keys(secret_bytes(settings.secret_key)).limit_key)
    finally:
        await valkey.close()


def _app(services: Services, vitals: Vitals, deadline_seconds: float) -> FastAPI:
    app = new_app("Chancery Command API", vitals)
    app.state.services = services
    app.state.deadline_seconds = deadline_seconds
    for noun in (
        oauth,
        sessions,
        me,
        accounts,
        password_resets,
        email_changes,
        factors,
        passkeys,
    ):  # the busiest first
        app.include_router(noun.router)
    for seldom in (clients, signing_keys, admin_accounts, system):
        app.include_router(seldom.router)
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(TryAgainError, _on_try_again)
    app.add_exception_handler(PasswordPoolFullError, _on_pool_full)
    app.add_exception_handler(CorruptLogError, _on_halted)
    return app


def _services(
    settings: Settings,
    opened: Opened,
    passwords: PasswordPool,
    errands: ErrandRunner,
    executor: Executor,
    rate_limits: RateLimits,
) -> Services:
    writer, clock = opened.writer, opened.clock
    keys = derive_keys(secret_bytes(settings.secret_key))
    lock_out = LockOut(
        failures=settings.limit_sign_in_failures, duration=timedelta(seconds=settings.limit_lock_out_seconds)
    )
    tokens = Tokens(writer, keys, _token_policy(settings), clock)
    callers = Callers(writer, tokens, clock)
    passkeys = _passkeys(settings, keys)
    passkey_proof = PasskeyProof(executor, writer, passkeys)
    sign_ins = _sign_in_rules(settings, lock_out, Challenges(keys, passkeys), NewSessions(keys, tokens))
    proof = PasswordProof(executor, writer, passwords)
    return Services(
        callers=callers,
        rate_limits=rate_limits,
        sign_up=SignUp(executor, opened.keyring, passwords, keys, _sign_up_rules(settings)),
        sign_in=SignIn(executor, writer, passwords, keys, sign_ins),
        second_step=SecondStep(executor, passkey_proof, passkeys, keys, sign_ins),
        own_passkeys=OwnPasskeys(executor, passkeys, timedelta(seconds=settings.recent_sign_in_seconds)),
        passkey_sign_in=PasskeySignIn(executor, passkey_proof, passkeys, sign_ins.sessions, clock),
        second_factors=SecondFactors(executor, writer, proof, keys, _factor_rules(settings, lock_out)),
        sign_out=SignOut(executor, callers, tokens, keys),
        grants=Grants(executor, callers, tokens, rate_limits),
        clients=Clients(executor),
        key_rotation=KeyRotation(executor, writer, KeyPolicy.of(settings), clock),
        profile=Profile(executor, proof, passwords, lock_out),
        password_resets=PasswordResets(executor, passwords, keys, _code_rules(settings)),
        email_changes=EmailChanges(
            executor,
            writer,
            proof,
            errands,
            keys,
            _email_change_rules(settings, lock_out),
        ),
        closing=Closing(proof, lock_out, timedelta(days=settings.close_grace_days)),
        admin_accounts=AdminAccounts(executor),
        system_callers=SystemCallers(keys.system_key),
        system=SystemCommands(executor),
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


def _sign_in_rules(
    settings: Settings, lock_out: LockOut, challenges: Challenges, sessions: NewSessions
) -> SignInRules:
    return SignInRules(
        lock_out=lock_out,
        challenge_lifetime=timedelta(seconds=settings.second_factor_seconds),
        sessions=sessions,
        challenges=challenges,
    )


def _factor_rules(settings: Settings, lock_out: LockOut) -> FactorRules:
    return FactorRules(
        issuer=settings.totp_issuer,
        enrolment=timedelta(seconds=settings.totp_enrolment_seconds),
        recent=timedelta(seconds=settings.recent_sign_in_seconds),
        lock_out=lock_out,
    )


def _passkeys(settings: Settings, keys: DerivedKeys) -> Passkeys:
    origins = parse_origins(settings.passkey_origins) or (f"http://localhost:{settings.command_port}",)
    party = RelyingParty(rp_id=settings.passkey_rp_id, name=settings.totp_issuer, origins=origins)
    return Passkeys(party, timedelta(seconds=settings.passkey_seconds), keys.passkey_key)


def _email_change_rules(settings: Settings, lock_out: LockOut) -> EmailChangeRules:
    undo = timedelta(seconds=settings.email_undo_seconds)
    return EmailChangeRules(codes=_code_rules(settings), lock_out=lock_out, undo=undo)


def _code_rules(settings: Settings) -> CodeRules:
    return CodeRules(
        lifetime=settings.code_lifetime,
        failures=settings.limit_code_failures,
        mails=settings.limit_code_mails,
    )


async def _follow(opened: Opened, health: Health, fellows: Fellows, keys_partition: int) -> None:
    """Keep what this process decides near the log's end: decisions start warm, ill health shows without traffic."""
    writer = opened.writer
    while True:
        try:
            _note(health, await writer.catch_up(sorted({*fellows.own_partitions(), keys_partition})))
            with contextlib.suppress(CorruptLogError):
                await writer.pin(SIGNING_KEYS)
                await retire_signing_keys(writer, opened.clock)
        except UnavailableError as error:
            health.set("log", str(error))
        await asyncio.sleep(FOLLOW_SECONDS)


async def _first_read(writer: Writer, seconds: float) -> Mapping[int, str]:
    """Every partition to its end, as soon as it can be told where that is; which are halted, and why."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        try:
            return await writer.catch_up()
        except UnavailableError:
            if loop.time() > until:
                raise
        await asyncio.sleep(FOLLOW_SECONDS)


def _note(health: Health, halted: Mapping[int, str]) -> None:
    """A halted partition is said loudly; the others go on."""
    health.set("log", None, life_seconds=STALE_SECONDS)
    for number, reason in halted.items():
        health.set(f"partition-{number}", f"halted at {reason}")
        _log.critical("partition halted", partition=number, reason=reason)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refusal_answer(error, request.url.path).response()


async def _on_try_again(request: Request, error: Exception) -> Response:
    assert isinstance(error, TryAgainError)
    return try_again_answer(weighed(request, error), request.url.path).response()


async def _on_halted(request: Request, _: Exception) -> Response:
    title = "The log cannot be read here; an operator must look. Whether this counts is not known."
    return failure(request.url.path, 503, "log-halted", title, {"retry-after": "60"}).response()


async def _on_pool_full(request: Request, _: Exception) -> Response:
    overloaded = OverloadedError("the password pool is full")
    return try_again_answer(weighed(request, overloaded), request.url.path).response()
