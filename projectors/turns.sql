-- name: join
-- Held by everybody who shares, for as long as the connection lasts: so they can be counted.
select pg_advisory_lock_shared(hashtext($1), hashtext('members'));

-- name: look
select (
    select count(*)
    from pg_catalog.pg_locks
    where locktype = 'advisory' and granted and mode = 'ShareLock'
      and database = (select oid from pg_catalog.pg_database where datname = current_database())
      and classid = (hashtext($1)::bigint & 4294967295)::oid
      and objid = (hashtext('members')::bigint & 4294967295)::oid
) as members,
exists (select from chancery.pauses where consumer = $2) as is_paused,
array(
    select objid::bigint::int
    from pg_catalog.pg_locks
    where locktype = 'advisory' and granted and mode = 'ExclusiveLock'
      and database = (select oid from pg_catalog.pg_database where datname = current_database())
      and classid = (hashtext($1)::bigint & 4294967295)::oid
) as taken;

-- name: try_lock
select pg_try_advisory_lock(hashtext($1), $2) as is_ours;

-- name: unlock
select pg_advisory_unlock(hashtext($1), $2);
