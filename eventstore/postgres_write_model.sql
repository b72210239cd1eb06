-- name: lock
-- Taken before the transaction begins: one that waited inside would go on with an old view of the catalogue. It ends with
-- its connection.
select pg_advisory_lock(hashtext('chancery write_model'));

-- name: create
create schema if not exists write_model;
create table if not exists write_model.checkpoints (
    fold_version integer not null,
    partition integer not null,
    seq bigint not null,
    hash text not null,
    record_offset bigint not null,
    next_offset bigint not null,
    last_at timestamptz not null,
    primary key (fold_version, partition)
);
create table if not exists write_model.streams (
    fold_version integer not null,
    stream text collate "C" not null,
    partition integer not null,
    version bigint not null,
    at timestamptz not null,
    state bytea not null,
    sealed text,
    expires_at timestamptz,
    primary key (fold_version, stream)
);
create index if not exists streams_expiring
    on write_model.streams (fold_version, partition, expires_at) where expires_at is not null;
create table if not exists write_model.keys (
    key_id uuid primary key,
    subject text collate "C" not null,
    wrapped bytea not null
);
create index if not exists keys_subject on write_model.keys (subject);
create table if not exists write_model.erased_keys (
    key_id uuid primary key
);
create table if not exists write_model.key_positions (
    partition integer primary key,
    next_offset bigint not null
);

-- name: is_there
select to_regclass('write_model.checkpoints') is not null as is_there;

-- name: count_checkpoints
select count(*) as partitions from write_model.checkpoints where fold_version = $1;

-- name: load
-- One statement, so that the rows are those of the checkpoint. Without a stream, the checkpoint comes alone.
select c.seq, c.hash, c.record_offset, c.next_offset, c.last_at,
       s.stream, s.version, s.at, s.state, s.sealed, s.expires_at
from write_model.checkpoints c
left join write_model.streams s
    on s.fold_version = c.fold_version and s.partition = c.partition and s.stream = any($3::text[])
where c.fold_version = $1 and c.partition = $2;

-- name: begin_checkpoint
insert into write_model.checkpoints (fold_version, partition, seq, hash, record_offset, next_offset, last_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict do nothing
returning seq;

-- name: move_checkpoint
update write_model.checkpoints
set seq = $3, hash = $4, record_offset = $5, next_offset = $6, last_at = $7
where fold_version = $1 and partition = $2 and seq = $8 and hash = $9 and next_offset = $10
returning seq;

-- name: save_streams
insert into write_model.streams (fold_version, partition, stream, version, at, state, sealed, expires_at)
select $1, $2, row.*
from unnest($3::text[], $4::bigint[], $5::timestamptz[], $6::bytea[], $7::text[], $8::timestamptz[]) as row
on conflict (fold_version, stream) do update
set version = excluded.version, at = excluded.at, state = excluded.state, sealed = excluded.sealed,
    expires_at = excluded.expires_at;

-- name: forget_streams
delete from write_model.streams where fold_version = $1 and partition = $2 and expires_at <= $3;

-- name: key_positions
select partition, next_offset from write_model.key_positions;

-- name: begin_key_position
insert into write_model.key_positions (partition, next_offset) values ($1, 0) on conflict do nothing;

-- name: lock_key_position
select next_offset from write_model.key_positions where partition = $1 for update;

-- name: move_key_position
update write_model.key_positions set next_offset = $2 where partition = $1;

-- name: save_keys
insert into write_model.keys (key_id, subject, wrapped)
select n.* from unnest($1::uuid[], $2::text[], $3::bytea[]) as n (key_id, subject, wrapped)
where not exists (select from write_model.erased_keys e where e.key_id = n.key_id)
on conflict (key_id) do update set subject = excluded.subject, wrapped = excluded.wrapped;

-- name: erase_keys
with gone as (delete from write_model.keys where key_id = any($1::uuid[]))
insert into write_model.erased_keys (key_id) select unnest($1::uuid[]) on conflict do nothing;

-- name: find_keys
select key_id, subject, wrapped from write_model.keys where key_id = any($1::uuid[]);

-- name: find_key_of_subject
select key_id, subject, wrapped from write_model.keys where subject = $1 limit 1;
