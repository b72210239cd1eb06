-- name: missing
select count(*) as missing from unnest($1::text[]) as wanted where to_regclass(wanted) is null;

-- name: lock
-- Taken before the transaction begins: one that waited inside would go on with an old view of the catalogue.
select pg_advisory_lock(hashtext('chancery create_tables'));

-- name: unlock
select pg_advisory_unlock(hashtext('chancery create_tables'));

-- name: schema
create schema if not exists chancery;

-- name: mailer_schema
-- Not part of what may be dropped to have the read models built anew: mails would be sent again.
create schema if not exists chancery_mailer;
