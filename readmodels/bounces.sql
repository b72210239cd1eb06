-- name: create
create table if not exists chancery_mailer.bounces (
    message_id text collate "C" primary key,
    account_id text collate "C" not null,
    kind text collate "C" not null,
    asked_at timestamptz not null,
    reported_at timestamptz
);

-- name: create_due
create index if not exists bounces_due
on chancery_mailer.bounces (asked_at, message_id)
where reported_at is null;

-- name: owe
-- Only of a mail whose recorded outcome this is: another mailer may have been told otherwise before.
insert into chancery_mailer.bounces (message_id, account_id, kind, asked_at)
select $1, $2, $3, $4
where exists (select from chancery_mailer.sent_mails where message_id = $1 and outcome = 'refused')
on conflict (message_id) do nothing;

-- name: due
select message_id, account_id, kind
from chancery_mailer.bounces
where reported_at is null
order by asked_at, message_id
limit $1;

-- name: postpone
update chancery_mailer.bounces set asked_at = $2 where message_id = $1;

-- name: settle
update chancery_mailer.bounces set reported_at = $2 where message_id = $1;
