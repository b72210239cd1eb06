"""Wires the query process: stores, keys, revocations, routes. All of its construction is here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Request, Response
from prometheus_client import CollectorRegistry

from query_api.audit_pages import AuditPages
from query_api.callers import Callers
from query_api.hot_path import HotPath
from query_api.key_set import KeySet
from query_api.positions import Positions
from query_api.routes import (
    admin_accounts,
    audit,
    forward_auth,
    introspection,
    me,
    metadata,
    projections,
    revocations,
    validation,
)
from query_api.rpc.server import serving_rpc
from query_api.services import Services, Urls
from query_api.tokens import CannotKnowError, TokenChecks, TokenRules
from readmodels.live_sessions import LiveSessions
from readmodels.positions import PositionWatch
from readmodels.revocation_feed import RevocationFeed
from readmodels.revocations import Revocations, RevocationView
from runtime.circuit import show_circuits
from runtime.clock import Clock
from runtime.health import Health
from runtime.keys import derive_keys
from runtime.metrics import REVOCATIONS_AGE_SECONDS, TOKENS_CACHED, TOKENS_OF_UNKNOWN_KEYS
from runtime.postgres import Postgres, PostgresRejectedError, PostgresUnavailableError
from runtime.redis import Valkey
from runtime.serving.answers import failure
from runtime.serving.app import Vitals, new_app
from runtime.serving.shedding import WorkBound
from runtime.settings import Settings, secret_bytes
from runtime.store_clock import RETRY_SECONDS, StoreClock

LOOK_SECONDS = 0.5
LIFE_SECONDS = 5.0
VALKEY_SECONDS = 0.15
PUSH_SECONDS = 1.0
"""Of an answer that may wait for news."""
POSTGRES_SECONDS = 2.0
MOST_IN_WORK = 256
"""Requests that stores are asked for: many times what the pools serve at once, and done within their deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """`pushing` is the same Valkey, asked with the patience that waiting for news needs."""

    postgres: Postgres
    valkey: Valkey
    pushing: Valkey


@contextlib.asynccontextmanager
async def open_query_api(settings: Settings, leaving: asyncio.Event) -> AsyncIterator[HotPath]:
    """The application. It starts before its stores and says by itself when it is ready.

    Answers that would never end do so once `leaving` is set.
    """
    async with contextlib.AsyncExitStack() as stack:
        stores = await stack.enter_async_context(_open_stores(settings))
        postgres, partitions = stores.postgres, settings.partitions
        stale = timedelta(seconds=settings.revocation_stale_seconds)
        watch, clock, health = PositionWatch(postgres), StoreClock(), Health()
        key_set = KeySet(
            postgres,
            clock,
            partitions=partitions,
            lead=timedelta(seconds=settings.signing_key_lead_seconds),
            commit=timedelta(seconds=settings.command_deadline_seconds),
        )
        feed = RevocationFeed(stores.pushing, partitions=partitions, stale=stale)
        tokens = _token_checks(settings, stores, feed, key_set, clock)
        health.set("keys", "the signing keys were not read yet")
        for loop in (clock.run(postgres), watch.run(), feed.run(), _look(key_set, tokens, health, clock)):
            stack.push_async_callback(_stop, asyncio.create_task(loop))
        positions = Positions(watch, partitions)
        keys = derive_keys(secret_bytes(settings.secret_key))
        services = Services(
            postgres=postgres,
            positions=positions,
            tokens=tokens,
            callers=Callers(postgres, tokens, partitions=partitions, stale=stale),
            key_set=key_set,
            audit=AuditPages(postgres, positions, keys.cursor_key, partitions=partitions),
            partitions=partitions,
            lag_limit=timedelta(seconds=settings.projection_lag_seconds),
            clock=clock,
            urls=Urls(issuer=settings.issuer, command=settings.command_url, query=settings.query_url),
            pepper=keys.pepper,
            revocations=feed,
            leaving=leaving,
        )
        vitals = _vitals(services, stores, health)
        await stack.enter_async_context(
            serving_rpc(
                services,
                vitals,
                host=settings.bind_host,
                port=settings.grpc_port,
                is_shared=settings.query_ports == "shared",
            )
        )
        yield _app(services, vitals)


@contextlib.asynccontextmanager
async def _open_stores(settings: Settings) -> AsyncIterator[Stores]:
    redis_url = settings.redis_url.get_secret_value()
    async with contextlib.AsyncExitStack() as stack:
        stores = Stores(
            postgres=await Postgres.open(
                settings.postgres_dsn.get_secret_value(), timeout_seconds=POSTGRES_SECONDS
            ),
            valkey=Valkey.open(redis_url, timeout_seconds=VALKEY_SECONDS),
            pushing=Valkey.open(redis_url, timeout_seconds=PUSH_SECONDS),
        )
        for store in (stores.postgres, stores.valkey, stores.pushing):
            stack.push_async_callback(store.close)
        yield stores


def _token_checks(
    settings: Settings, stores: Stores, feed: RevocationFeed, key_set: KeySet, clock: Clock
) -> TokenChecks:
    postgres, partitions = stores.postgres, settings.partitions
    stale = timedelta(seconds=settings.revocation_stale_seconds)
    view = RevocationView(stores.valkey, partitions=partitions)
    verdicts = Revocations(feed, view, postgres, partitions=partitions, stale=stale)
    sessions = LiveSessions(stores.valkey, postgres, verdicts, partitions=partitions, stale=stale)
    rules = TokenRules(
        issuer=settings.issuer, audience=settings.audience, most_cached=settings.token_cache_entries
    )
    refresh_key = derive_keys(secret_bytes(settings.secret_key)).refresh_key
    return TokenChecks(key_set, verdicts, sessions, clock, rules, refresh_key)


def _vitals(services: Services, stores: Stores, health: Health) -> Vitals:
    vitals = Vitals(
        process="query",
        failing=health.failing,
        registry=CollectorRegistry(),
        leaving=services.leaving,
        body_limits={validation.PATH: validation.MOST_BYTES},
        work=WorkBound(most=MOST_IN_WORK, spared=metadata.PATHS),
    )
    show_circuits(
        vitals.registry,
        postgres=stores.postgres.circuit,
        valkey=stores.valkey.circuit,
        valkey_push=stores.pushing.circuit,
    )
    REVOCATIONS_AGE_SECONDS.made(vitals.registry).set_function(services.revocations.age_seconds)
    TOKENS_CACHED.made(vitals.registry).set_function(lambda: services.tokens.cached)
    TOKENS_OF_UNKNOWN_KEYS.show(vitals.registry, lambda: services.tokens.of_unknown_keys)
    return vitals


def _app(services: Services, vitals: Vitals) -> HotPath:
    app = new_app("Chancery Query API", vitals)
    app.state.services = services
    for noun in (
        introspection,
        validation,
        forward_auth,
        revocations,
        me,
        audit,
        admin_accounts,
        projections,
        metadata,
    ):
        app.include_router(noun.router)
    app.add_exception_handler(CannotKnowError, _on_cannot_know)
    for error in (PostgresUnavailableError, PostgresRejectedError):
        app.add_exception_handler(error, _on_store_down)
    return HotPath(app, services.callers, services.tokens, app.state.request_seconds)


async def _look(key_set: KeySet, tokens: TokenChecks, health: Health, clock: StoreClock) -> None:
    """Read the signing keys again and again, and see whether revocations can be known.

    Without keys no token is judged, so none is before it is known what time it is.
    """
    while not clock.is_anchored:
        health.set("postgres", "has not told the time yet")
        await asyncio.sleep(RETRY_SECONDS)
    while True:
        try:
            await key_set.refresh()
            reason = None if key_set.keys else "there is no signing key yet; the command process makes it"
            health.set("keys", reason, life_seconds=LIFE_SECONDS)
            health.set("postgres", None)
        except (PostgresUnavailableError, PostgresRejectedError) as error:
            health.set("postgres", str(error))
        can_know = await tokens.knows_revocations()
        health.set("revocations", None if can_know else "the projectors are behind")
        await asyncio.sleep(LOOK_SECONDS)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _on_cannot_know(request: Request, _: Exception) -> Response:
    title = "It cannot be known now whether the token was revoked."
    return failure(request.url.path, 503, "revocations-unknown", title, {"retry-after": "1"}).response()


async def _on_store_down(request: Request, _: Exception) -> Response:
    title = "The read models cannot be reached. Try again."
    return failure(request.url.path, 503, "unavailable", title, {"retry-after": "1"}).response()
