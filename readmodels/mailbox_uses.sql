-- name: create
create table if not exists chancery_mailer.mailbox_uses (
    message_id text collate "C" primary key,
    mailbox text collate "C" not null,
    allowance text collate "C" not null,
    used_at timestamptz not null
);

-- name: create_by_mailbox
create index if not exists mailbox_uses_by_mailbox
on chancery_mailer.mailbox_uses (mailbox, allowance, used_at);

-- name: create_by_time
create index if not exists mailbox_uses_by_time
on chancery_mailer.mailbox_uses (used_at);

-- name: lock_mailbox
-- A statement of its own: the next one sees what the holder before has committed.
select pg_advisory_xact_lock(hashtextextended('chancery mailbox ' || $1, 0));

-- name: use
-- Whoever has a use already keeps it.
insert into chancery_mailer.mailbox_uses (message_id, mailbox, allowance, used_at)
select $1, $2, $3, $4
where (
    select count(*)
    from chancery_mailer.mailbox_uses
    where mailbox = $2 and allowance = $3 and used_at > $5
) < $6
on conflict (message_id) do nothing;

-- name: has_use
select exists (select from chancery_mailer.mailbox_uses where message_id = $1) as has_use;

-- name: forget
delete from chancery_mailer.mailbox_uses where used_at <= $1;
