-- name: create
create table if not exists chancery.accounts_v1 (
    account_id text collate "C" primary key,
    status text not null check (status in ('pending', 'active')),
    email text,
    email_verified boolean not null,
    display_name text,
    created_at timestamptz not null
);

-- name: rows
select account_id, status, email, email_verified, display_name, created_at
from chancery.accounts_v1
where account_id = any($1::text[]);

-- name: active
select account_id, status, email, email_verified, display_name, created_at
from chancery.accounts_v1
where account_id = $1 and status = 'active';
