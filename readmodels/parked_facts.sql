-- name: create
create table if not exists chancery.parked_facts (
    projector text collate "C" not null,
    stream text collate "C" not null,
    partition integer not null,
    seq bigint not null,
    number integer not null,
    log_offset bigint not null,
    type text not null,
    reason text not null,
    parked_at timestamptz not null default clock_timestamp(),
    primary key (projector, partition, stream, seq, number)
);

-- name: streams
select distinct projector, stream
from chancery.parked_facts
where projector = any($1::text[]) and partition = any($2::int[]);

-- name: park
insert into chancery.parked_facts (projector, stream, partition, seq, number, log_offset, type, reason)
select $1, stream, partition, seq, number, log_offset, type, reason
from unnest($2::text[], $3::int[], $4::bigint[], $5::int[], $6::bigint[], $7::text[], $8::text[])
    as parked (stream, partition, seq, number, log_offset, type, reason);

-- name: facts
select partition, seq, number, log_offset
from chancery.parked_facts
where projector = $1 and stream = $2
order by partition, seq, number;

-- name: blame
update chancery.parked_facts set reason = $3
where (projector, partition, stream, seq, number) = (
    select projector, partition, stream, seq, number
    from chancery.parked_facts
    where projector = $1 and stream = $2
    order by partition, seq, number
    limit 1
);

-- name: release
delete from chancery.parked_facts where projector = $1 and stream = $2;

-- name: count
select count(distinct stream) as streams from chancery.parked_facts where projector = $1;

-- name: counts
select m.projector, count(distinct p.stream) as streams
from chancery.read_models m left join chancery.parked_facts p using (projector)
group by m.projector;

-- name: shown
-- The first fact of each stream is the one that could not be applied; the others wait behind it.
select distinct on (projector, stream)
       projector, stream, partition, seq, number, type, reason, parked_at,
       count(*) over (partition by projector, stream) as facts
from chancery.parked_facts
order by projector, stream, seq, number
limit $1;

-- name: streams_of
select distinct stream from chancery.parked_facts where projector = $1 order by stream;
