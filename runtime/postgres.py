"""PostgreSQL with bounds on every wait. Nobody else imports asyncpg.

Errors come in two families: `PostgresUnavailableError`, after which the same call may succeed, and
`PostgresRejectedError`, after which it never will. Neither repeats what a statement carried.
A pool that has no answer several times in a row says so at once for a moment (`runtime/circuit.py`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import asyncpg

from runtime.circuit import Circuit, Places

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Raw = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

Row = Mapping[str, Any]
Heard = Callable[[str], None]

_CONNECT_SECONDS = 2.0
_CLOSE_SECONDS = 2.0
_MARGIN_SECONDS = 0.1
"""Who waits for a connection outlasts the making of one, so that it is known why there is none."""
_HANGING_SECONDS = 0.4
_IDLE_IN_TRANSACTION_MILLISECONDS = 10_000
"""A process that was stopped inside a transaction gives up its locks, so that another can go on."""
_IDLE_DEDICATED_SECONDS = 15.0
"""Who holds a dedicated connection uses it every few seconds; one that does not is stopped or gone."""
_NOTICE_GONE_CLIENT_MILLISECONDS = 1_000
"""What a client that went away was doing ends so soon, and its locks with it."""
_PREFETCHED_ROWS = 500
_STREAM_SECONDS = 600.0
"""Before the first row of a stream a whole table may have to be sorted."""

_PASSING_CLASSES = {"08", "25", "40", "53", "55", "57", "58", "XX"}
"""SQLSTATE classes that tell of the server or of others, not of the statement."""

_UNHEARD_STATES = ("08", "57P")
"""How those begin that tell of a connection or of a whole server: it is going, gone, or not there yet."""

_PASSING_STATES = {"0A000", "3F000", "42P01"}
"""A table is gone, or is a new one under the old name; whoever owns it makes it again and goes on."""


class PostgresUnavailableError(Exception):
    """PostgreSQL did not answer in time, went away, or asked to try again."""


class _BusyError(PostgresUnavailableError):
    """The server answered, and could not do it now."""


class _UnheardError(PostgresUnavailableError):
    """No answer: the server, or the way to it, is slow, gone or not there yet."""


class PostgresRejectedError(Exception):
    """PostgreSQL refused the statement or its data, and would again."""


class Connection:
    """One connection. Calls wait for one another, so tasks may share it outside transactions.

    One that left a call without an answer is thrown away, so that nobody waits for it twice.
    """

    def __init__(self, raw: "Raw", circuit: Circuit | None = None) -> None:
        self._raw = raw
        self._circuit = circuit
        self._turn = asyncio.Lock()

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        async with self._turn:
            with self._watched():
                rows: Sequence[Any] = await self._raw.fetch(sql, *values)
                return [dict(row) for row in rows]

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        async with self._turn:
            with self._watched():
                row: Any = await self._raw.fetchrow(sql, *values)
                return None if row is None else dict(row)

    async def execute(self, sql: str, *values: Any) -> None:
        async with self._turn:
            with self._watched():
                await self._raw.execute(sql, *values)

    async def copy(
        self, schema: str, table: str, columns: Sequence[str], records: Sequence[Sequence[Any]]
    ) -> None:
        """Append many rows at once."""
        async with self._turn:
            with self._watched():
                await self._raw.copy_records_to_table(
                    table, schema_name=schema, columns=columns, records=records
                )

    async def stream(self, sql: str, *values: Any) -> AsyncIterator[Row]:
        """Rows one after the other, however many, a bounded number of them in memory. In a transaction only."""
        async with self._turn:
            with self._watched():
                async for row in self._raw.cursor(
                    sql, *values, prefetch=_PREFETCHED_ROWS, timeout=_STREAM_SECONDS
                ):
                    yield dict(row)

    @contextlib.asynccontextmanager
    async def transaction(self, *, is_snapshot: bool = False) -> AsyncIterator["Connection"]:
        """All or nothing. A PostgresUnavailableError from here may also mean that it was committed.

        A snapshot is read only, and all of it at one moment.
        """
        async with self._turn:
            with self._watched():
                transaction = self._raw.transaction(
                    isolation="repeatable_read" if is_snapshot else None, readonly=is_snapshot
                )
                await transaction.start()
            try:
                yield Connection(self._raw, self._circuit)
            except asyncio.CancelledError:
                _drop(self._raw)
                raise
            except BaseException:
                with contextlib.suppress(PostgresUnavailableError, PostgresRejectedError), _translated():
                    await transaction.rollback()
                raise
            with self._watched():
                await transaction.commit()

    async def listen(self, channel: str, heard: Heard) -> None:
        """Call `heard` with the payload of every notification from now on."""
        async with self._turn:
            with self._watched():
                await self._raw.add_listener(channel, lambda *heard_of: heard(str(heard_of[3])))

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            with _told(self._circuit):
                yield
        except _UnheardError:
            _drop(self._raw)
            raise


class Postgres:
    """A bounded pool. It connects when it is first asked, so a process may start before its database.

    What outlasts a transaction (session locks, settings, notifications) belongs to a `dedicated` connection: those
    of the pool are handed on as they are, which saves a round trip each time.
    """

    def __init__(self, dsn: str, pool: "Pool", circuit: Circuit, *, timeout_seconds: float) -> None:
        self._dsn = dsn
        self._pool = pool
        self._timeout_seconds = timeout_seconds
        self._patience_seconds = max(timeout_seconds, _CONNECT_SECONDS + _MARGIN_SECONDS)
        self._places = Places(
            pool.get_max_size(),
            circuit,
            answer_seconds=timeout_seconds,
            patience_seconds=self._patience_seconds,
        )
        self.circuit = circuit

    @classmethod
    async def open(cls, dsn: str, *, max_connections: int = 10, timeout_seconds: float = 5.0) -> Self:
        circuit = Circuit("PostgreSQL", PostgresUnavailableError)

        async def connect(*values: Any, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
            with _told(circuit):
                return await asyncpg.connect(*values, **options)

        pool = asyncpg.create_pool(
            dsn,
            connect=connect,
            min_size=0,
            max_size=max_connections,
            reset=_as_it_is,
            timeout=_CONNECT_SECONDS,
            command_timeout=timeout_seconds,
            server_settings=_server_settings(),
        )
        with _translated():
            await pool
        return cls(dsn, pool, circuit, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Return once every connection is closed, whatever state it is in."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._pool.terminate()

    async def fetch(self, sql: str, *values: Any) -> Sequence[Row]:
        async with self.connection() as connection:
            return await connection.fetch(sql, *values)

    async def fetch_one(self, sql: str, *values: Any) -> Row | None:
        async with self.connection() as connection:
            return await connection.fetch_one(sql, *values)

    async def execute(self, sql: str, *values: Any) -> None:
        async with self.connection() as connection:
            await connection.execute(sql, *values)

    async def version(self) -> int:
        """The server's, e.g. 160004 for 16.4."""
        row = await self.fetch_one("select current_setting('server_version_num')::int as version")
        assert row is not None
        return int(row["version"])

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of the pool, for as long as the block lasts. One that was cancelled is thrown away at once.

        While the pool has no answers it fails at once.
        """
        async with self._places.taken():
            with _translated():
                raw = await self._pool.acquire(timeout=self._patience_seconds)
            try:
                yield Connection(raw, self.circuit)
            except asyncio.CancelledError:
                _drop(raw)
                raise
            finally:
                with contextlib.suppress(PostgresUnavailableError), _translated():
                    await self._pool.release(raw, timeout=_CLOSE_SECONDS)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.connection() as connection, connection.transaction() as tx:
            yield tx

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Reads of one moment at one server, also where a balancer gives each connection another one."""
        async with self.connection() as connection, connection.transaction(is_snapshot=True) as tx:
            yield tx

    @contextlib.asynccontextmanager
    async def dedicated(self, *, idle_seconds: float = _IDLE_DEDICATED_SECONDS) -> AsyncIterator[Connection]:
        """A connection outside the pool and its circuit, for what belongs to a connection: locks and notifications.

        The server ends it once it was idle for so long; 0 is for ever.
        """
        with _translated():
            raw = await asyncpg.connect(
                self._dsn,
                timeout=_CONNECT_SECONDS,
                command_timeout=self._timeout_seconds,
                server_settings={
                    **_server_settings(),
                    "idle_session_timeout": str(int(1000 * idle_seconds)),
                },
            )
        try:
            yield Connection(raw)
        finally:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await raw.close(timeout=_CLOSE_SECONDS)
            _drop(raw)


async def _as_it_is(_: object) -> None:
    """The driver has ended the transaction, if there was one, before it asks for this."""


def _drop(raw: "Raw") -> None:
    """Close at once, without a word to the server. One that is closed already is no longer there to be closed."""
    with contextlib.suppress(asyncpg.InterfaceError):
        raw.terminate()


def _server_settings() -> dict[str, str]:
    return {
        "application_name": "chancery",
        "client_connection_check_interval": str(_NOTICE_GONE_CLIENT_MILLISECONDS),
        "idle_in_transaction_session_timeout": str(_IDLE_IN_TRANSACTION_MILLISECONDS),
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "timezone": "UTC",
    }


@contextlib.contextmanager
def _told(circuit: Circuit | None) -> Iterator[None]:
    """The circuit is told how this call ended. What neither the server nor silence ended proves nothing.

    Callers have less patience than a pool: one who gave up after `_HANGING_SECONDS` had no answer either.
    """
    began = time.monotonic()
    try:
        with _translated():
            yield
    except (PostgresRejectedError, _BusyError):
        if circuit is not None:
            circuit.heard()
        raise
    except asyncio.CancelledError:
        if circuit is not None and time.monotonic() - began >= _HANGING_SECONDS:
            circuit.unheard(began)
        raise
    except _UnheardError:
        if circuit is not None:
            circuit.unheard(began)
        raise
    if circuit is not None:
        circuit.heard()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Drivers' errors become ours. Their texts quote rows, and rows hold personal data: they stay here."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state.startswith(_UNHEARD_STATES):
            raise _UnheardError(f"PostgreSQL: {type(error).__name__}") from None
        if state[:2] in _PASSING_CLASSES or state in _PASSING_STATES:
            raise _BusyError(f"PostgreSQL: {type(error).__name__}") from None
        raise PostgresRejectedError(f"PostgreSQL: {type(error).__name__} ({state})") from None
    except (asyncpg.InternalClientError, OSError, TimeoutError) as error:
        raise _UnheardError(f"PostgreSQL: {type(error).__name__}") from None
    except asyncpg.InterfaceError as error:
        raise PostgresUnavailableError(f"PostgreSQL: {type(error).__name__}") from None
