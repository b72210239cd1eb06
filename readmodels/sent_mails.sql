-- name: create
create table if not exists chancery.sent_mails (
    message_id text collate "C" primary key,
    partition integer not null,
    seq bigint not null,
    sent_at timestamptz not null,
    outcome text not null check (outcome in ('sent', 'expired', 'erased', 'refused'))
);

-- name: is_recorded
select exists (select from chancery.sent_mails where message_id = $1) as is_recorded;

-- name: record
insert into chancery.sent_mails (message_id, partition, seq, sent_at, outcome)
values ($1, $2, $3, $4, $5)
on conflict (message_id) do nothing;
