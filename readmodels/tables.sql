-- name: lock
select pg_advisory_xact_lock(hashtext('chancery create_tables'));

-- name: schema
create schema if not exists chancery;
