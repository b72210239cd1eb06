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
select seq
from chancery.checkpoints
where projector = $1 and partition = $2
for update;

-- name: advance
-- The rows as they were. Which projector serves is not asked here: this may have waited for a switch, and would not
-- see it.
with locked as (
    select partition, projector, log_id, seq, hash, next_offset
    from chancery.checkpoints
    where projector = any($1::text[]) and partition = any($2::int[])
    order by partition, projector
    for update
), advanced as (
    update chancery.checkpoints c
    set seq = reached.seq, hash = reached.hash, next_offset = reached.next_offset
    from locked join unnest($2::int[], $3::bigint[], $4::text[], $5::bigint[])
        as reached (partition, seq, hash, next_offset) using (partition)
    where c.projector = locked.projector and c.partition = locked.partition
      and locked.next_offset < reached.next_offset
    returning c.projector, c.partition, c.seq
), told as (
    select pg_notify('chancery_checkpoint', format('%s:%s:%s', partition, seq, string_agg(projector, ',')))
    from advanced
    group by partition, seq
)
select locked.*, (select count(*) from told) as told from locked;

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
-- Without partition where nothing was applied yet.
select projector, read_model, partition, seq
from chancery.read_models left join chancery.checkpoints using (projector)
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
