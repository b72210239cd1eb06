-- name: missing
-- Asked in a table, whose lock makes this connection look at what others did: names alone come from its memory.
select wanted.name
from unnest($1::text[]) as wanted (name)
where not exists (
    select from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'chancery.audit_v1'::regclass and c.relname = wanted.name
);

-- name: lock
select pg_advisory_xact_lock(hashtext('chancery audit_v1 partitions'));

-- name: create
-- Attached, not created as a partition: that would lock out everybody who reads or writes the whole.
create table chancery.{name} (like chancery.audit_v1 including all);
alter table chancery.audit_v1 attach partition chancery.{name} for values from ('{first}') to ('{next}');

-- name: write
insert into chancery.audit_v1
select * from json_populate_recordset(null::chancery.audit_v1, $1::json)
on conflict (at, partition, seq, number) do nothing;
