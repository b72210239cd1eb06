-- name: create
-- Which versions of a read model there are. `projector` is a version's name: of its table, and in the checkpoints.
create table if not exists chancery.read_models (
    read_model text collate "C" not null,
    version integer not null check (version > 0),
    projector text collate "C" not null unique,
    role text not null check (role in ('building', 'standby', 'serving')),
    definition text not null,
    registered_at timestamptz not null default clock_timestamp(),
    primary key (read_model, version)
);
create unique index if not exists read_models_serving on chancery.read_models (read_model) where role = 'serving';

-- name: all
select read_model, version, role, definition
from chancery.read_models
order by read_model, version;

-- name: one
select read_model, version, role, definition
from chancery.read_models
where read_model = $1 and version = $2;

-- name: register
insert into chancery.read_models (read_model, version, projector, role, definition)
values ($1, $2, $3, $4, $5)
on conflict (read_model, version) do nothing;

-- name: become
update chancery.read_models
set role = $3
where read_model = $1 and version = $2;

-- name: unequal
-- Partitions in which two versions have not come to the same commit.
with a as (select * from chancery.checkpoints where projector = $1),
     b as (select * from chancery.checkpoints where projector = $2)
select count(*) as partitions
from a full join b using (partition)
where (a.seq, a.hash) is distinct from (b.seq, b.hash);

-- name: kept_up_since
select count(*) as partitions
from chancery.checkpoints
where projector = $1 and fresh_at > $2;

-- name: try_lock
select pg_try_advisory_lock(hashtext('chancery rebuild ' || $1)) as is_ours;

-- name: unlock
select pg_advisory_unlock(hashtext('chancery rebuild ' || $1));

-- name: brief
-- Whoever waits for a lock on a view holds up all who read it from then on.
set local lock_timeout = '300ms';

-- name: progress
select projector, sum(next_offset)::bigint as next_offset
from chancery.checkpoints
group by projector;

-- name: forget
delete from chancery.read_models where projector = $1;

-- name: forget_checkpoints
delete from chancery.checkpoints where projector = $1;

-- name: forget_parked
delete from chancery.parked_facts where projector = $1;

-- name: drop_table
drop table if exists chancery.{name};

-- name: drop_view
drop view if exists chancery.{read_model};

-- name: serve
create view chancery.{read_model} as select * from chancery.{name};
