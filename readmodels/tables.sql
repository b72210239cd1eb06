-- name: missing
select count(*) as missing from unnest($1::text[]) as wanted where to_regclass('chancery.' || wanted) is null;

-- name: lock
select pg_advisory_xact_lock(hashtext('chancery create_tables'));

-- name: schema
create schema if not exists chancery;
