-- name: create
create table if not exists chancery.{name} (
    account_id text collate "C" primary key,
    status text not null check (status in ('pending', 'active', 'disabled', 'closed')),
    email text,
    email_verified boolean not null,
    display_name text,
    created_at timestamptz not null,
    last_sign_in_at timestamptz,
    password_changed_at timestamptz,
    locked_until timestamptz,
    disabled_at timestamptz,
    closed_at timestamptz,
    erase_after timestamptz
);

-- name: rows
select account_id, status, email, email_verified, display_name, created_at,
       last_sign_in_at, password_changed_at, locked_until, disabled_at, closed_at, erase_after
from chancery.{name}
where account_id = any($1::text[]);

-- name: active
select account_id, status, email, email_verified, display_name, created_at,
       last_sign_in_at, password_changed_at, locked_until, disabled_at, closed_at, erase_after
from chancery.accounts
where account_id = $1 and status = 'active';
