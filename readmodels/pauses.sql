-- name: create
-- Consumers that are to stand still until somebody says otherwise, whatever process they are in.
create table if not exists chancery.pauses (
    consumer text collate "C" primary key,
    paused_at timestamptz not null default clock_timestamp()
);

-- name: pause
insert into chancery.pauses (consumer) values ($1) on conflict do nothing;

-- name: resume
delete from chancery.pauses where consumer = $1;

-- name: all
select consumer, paused_at from chancery.pauses order by consumer;

-- name: working
-- Partitions that somebody of this consumer works on now: each is a lock (`projectors/turns.sql`).
select count(*)::int as partitions
from pg_catalog.pg_locks
where locktype = 'advisory' and granted and mode = 'ExclusiveLock'
  and database = (select oid from pg_catalog.pg_database where datname = current_database())
  and classid = (hashtext($1)::bigint & 4294967295)::oid;
