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
update chancery.checkpoints
set seq = $3, hash = $4, next_offset = $5
where projector = any($1::text[]) and partition = $2;

-- name: notify
select pg_notify('chancery_checkpoint', $1);

-- name: now
select clock_timestamp() as now;

-- name: mark_fresh
-- Rows are locked in the order in which everybody locks them.
with locked as (
    select c.projector, c.partition
    from chancery.checkpoints c
    join unnest($3::int[], $4::bigint[]) as reached (partition, log_end) using (partition)
    where c.projector = any($1::text[]) and c.log_id = $2 and c.next_offset >= reached.log_end
    order by c.partition, c.projector
    for update of c
)
update chancery.checkpoints c
set fresh_at = $5
from locked
where c.projector = locked.projector and c.partition = locked.partition
returning c.partition;

-- name: positions
select projector, partition, seq
from chancery.checkpoints;

-- name: fresh
select count(*) as fresh
from chancery.checkpoints
where projector = any($1::text[]) and clock_timestamp() - fresh_at between interval '0' and $2;
