-- name: create
-- Partitions are made by the projector, one a month, as entries need them.
create table if not exists chancery.{name} (
    at timestamptz not null,
    partition integer not null,
    seq bigint not null,
    number integer not null,
    type text collate "C" not null,
    account_id text collate "C",
    client_id text collate "C",
    actor_kind text collate "C" not null,
    actor_id text collate "C" not null,
    trace_id text collate "C",
    details jsonb not null,
    ip text,
    user_agent text,
    primary key (at, partition, seq, number)
) partition by range (at);
create index if not exists {name}_account on chancery.{name} (account_id, at, partition, seq, number);
create index if not exists {name}_type on chancery.{name} (type, at, partition, seq, number);

-- name: horizon
select partition, seq
from chancery.checkpoints join chancery.read_models using (projector)
where role = 'serving' and read_model = 'audit';

-- name: page_of_account
select at, partition, seq, number, type, account_id, client_id, actor_kind, actor_id, trace_id,
       details::text as details, ip, user_agent
from chancery.audit
where account_id = $9
  and ($10::text is null or type = $10)
  and at >= $1 and at < $2
  and seq <= ($3::bigint[])[partition + 1]
  and at <= $4 and (at, partition, seq, number) < ($4, $5, $6, $7)
order by at desc, partition desc, seq desc, number desc
limit $8;

-- name: page_of_type
select at, partition, seq, number, type, account_id, client_id, actor_kind, actor_id, trace_id,
       details::text as details, ip, user_agent
from chancery.audit
where type = $9
  and at >= $1 and at < $2
  and seq <= ($3::bigint[])[partition + 1]
  and at <= $4 and (at, partition, seq, number) < ($4, $5, $6, $7)
order by at desc, partition desc, seq desc, number desc
limit $8;

-- name: page
select at, partition, seq, number, type, account_id, client_id, actor_kind, actor_id, trace_id,
       details::text as details, ip, user_agent
from chancery.audit
where at >= $1 and at < $2
  and seq <= ($3::bigint[])[partition + 1]
  and at <= $4 and (at, partition, seq, number) < ($4, $5, $6, $7)
order by at desc, partition desc, seq desc, number desc
limit $8;

-- name: has_account
select exists (select from chancery.audit where account_id = $1) as is_there;
