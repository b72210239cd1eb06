-- name: missing
-- Asked in a table, whose lock makes this connection look at what others did: names alone come from its memory.
select wanted.name
from unnest($1::text[]) as wanted (name)
where not exists (
    select from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'chancery.{name}'::regclass and c.relname = wanted.name
);

-- name: lock
select pg_advisory_xact_lock(hashtext('chancery {name} partitions'));

-- name: create
-- Attached, not created as a partition: that would lock out everybody who reads or writes the whole.
create table chancery.{month} (like chancery.{name} including all);
alter table chancery.{name} attach partition chancery.{month} for values from ('{first}') to ('{next}');
