-- name: create
create table if not exists chancery_mailer.sent_mails (
    message_id text collate "C" primary key,
    partition integer not null,
    seq bigint not null,
    "offset" bigint not null,
    sent_at timestamptz not null,
    outcome text not null
);

-- name: know_all_outcomes
-- The table cannot be built anew, so one from before an outcome was thought of learns of it.
alter table chancery_mailer.sent_mails
drop constraint if exists sent_mails_outcome_check,
add constraint sent_mails_outcome_check
check (outcome in ('sent', 'expired', 'erased', 'refused', 'deferred', 'limited'));

-- name: create_deferred
create index if not exists sent_mails_deferred
on chancery_mailer.sent_mails (partition, sent_at)
where outcome = 'deferred';

-- name: create_checkpoints
create table if not exists chancery_mailer.checkpoints (
    partition integer primary key,
    log_id text collate "C" not null,
    seq bigint not null,
    hash text collate "C" not null,
    next_offset bigint not null
) with (fillfactor = 50);

-- name: is_recorded
select exists (select from chancery_mailer.sent_mails where message_id = $1) as is_recorded;

-- name: record
insert into chancery_mailer.sent_mails (message_id, partition, seq, "offset", sent_at, outcome)
values ($1, $2, $3, $4, $5, $6)
on conflict (message_id) do update
set sent_at = excluded.sent_at, outcome = excluded.outcome
where sent_mails.outcome = 'deferred';

-- name: deferred
select message_id, partition, seq, "offset", sent_at, outcome
from chancery_mailer.sent_mails
where partition = $1 and outcome = 'deferred'
order by sent_at, message_id
limit $2;

-- name: begin_checkpoint
insert into chancery_mailer.checkpoints (partition, log_id, seq, hash, next_offset)
values ($1, $2, -1, '', 0)
on conflict (partition) do nothing;

-- name: read_checkpoint
select log_id, seq, hash, next_offset
from chancery_mailer.checkpoints
where partition = $1;

-- name: lock_checkpoint
select log_id, seq, hash, next_offset
from chancery_mailer.checkpoints
where partition = $1
for update;

-- name: advance_checkpoint
update chancery_mailer.checkpoints
set seq = $2, hash = $3, next_offset = $4
where partition = $1;
