-- name: create
create table if not exists chancery.checkpoints (
    projector text collate "C" not null,
    partition integer not null,
    log_id text collate "C" not null,
    seq bigint not null,
    hash text collate "C" not null,
    next_offset bigint not null,
    fresh_at timestamptz,
    primary key (projector, partition)
) with (fillfactor = 50);

-- name: begin
insert into chancery.checkpoints (projector, partition, log_id, seq, hash, next_offset)
select projector, $2, $3, -1, '', 0
from unnest($1::text[]) as projector
order by projector
on conflict (projector, partition) do nothing;

-- name: read
select projector, log_id, seq, hash, next_offset
from chancery.checkpoints
where projector = any($1::text[]) and partition = $2;

-- name: lock
select projector, log_id, seq, hash, next_offset
from chancery.checkpoints
where projector = any($1::text[]) and partition = $2
order by projector
for update;

-- name: advance
-- Readers know a read model, and not which of its versions serves.
with advanced as (
    update chancery.checkpoints
    set seq = $3, hash = $4, next_offset = $5
    where projector = any($1::text[]) and partition = $2
    returning projector
)
select pg_notify('chancery_checkpoint', format('%s:%s:%s', $2::int, $3::bigint, string_agg(read_model, ',')))
from advanced join chancery.read_models using (projector)
where role = 'serving'
having count(*) > 0;

-- name: lock_everywhere
select projector, partition, seq
from chancery.checkpoints
where projector = any($1::text[])
order by partition, projector
for update;

-- name: now
select clock_timestamp() as now;

-- name: mark_fresh
-- Rows are locked in the order in which everybody locks them.
with locked as (
    select projector
    from chancery.checkpoints
    where projector = any($1::text[]) and log_id = $2 and partition = $3 and next_offset >= $4
    order by projector
    for update
)
update chancery.checkpoints c
set fresh_at = $5
from locked
where c.projector = locked.projector and c.partition = $3
returning c.projector;

-- name: positions
select read_model, partition, seq
from chancery.checkpoints join chancery.read_models using (projector)
where role = 'serving';

-- name: lacking
select count(*) as lacking
from unnest($1::text[]) as asked (read_model), unnest($2::int[], $3::bigint[]) as wanted (partition, seq)
where not exists (
    select from chancery.checkpoints c join chancery.read_models m using (projector)
    where m.role = 'serving' and m.read_model = asked.read_model
      and c.partition = wanted.partition and c.seq >= wanted.seq
);

-- name: look_again
-- Another version serves, which may show less: no step tells that.
select pg_notify('chancery_checkpoint', 'look again');

-- name: complete
-- A mark from the future is none: another server made it.
select
    count(*) filter (where fresh_at <= clock_timestamp()) as marked,
    extract(epoch from max(clock_timestamp() - fresh_at))::float8 as age_seconds
from chancery.checkpoints join chancery.read_models using (projector)
where role = 'serving' and read_model = $1;

-- name: fresh
select count(*) as fresh
from chancery.checkpoints join chancery.read_models using (projector)
where role = 'serving' and read_model = any($1::text[])
  and clock_timestamp() - fresh_at between interval '0' and $2;
