-- name: missing
select count(*) as missing from unnest($1::text[]) as wanted where to_regclass(wanted) is null;

-- name: missing_read_models
-- Read models that nobody noted, and noted ones whose table or view is gone.
select (select count(*) from unnest($1::text[]) as wanted
        where not exists (select from chancery.read_models m where m.read_model = wanted))
     + (select count(*) from chancery.read_models
        where to_regclass('chancery.' || projector) is null
           or (role = 'serving' and to_regclass('chancery.' || read_model) is null)) as missing;

-- name: lock
-- Taken before the transaction begins: one that waited inside would go on with an old view of the catalogue. It ends with
-- its connection.
select pg_advisory_lock(hashtext('chancery create_tables'));

-- name: schema
create schema if not exists chancery;

-- name: mailer_schema
-- Not part of what may be dropped to have the read models built anew: mails would be sent again.
create schema if not exists chancery_mailer;
