-- name: create
create table if not exists chancery.{name} (
    session_id text collate "C" primary key,
    account_id text collate "C" not null,
    client_id text collate "C" not null,
    scope text not null,
    amr text[] not null,
    acr text not null,
    generation integer not null,
    created_at timestamptz not null,
    last_seen_at timestamptz not null,
    idle_expires_at timestamptz not null,
    expires_at timestamptz not null,
    ip text,
    user_agent text,
    ended_at timestamptz,
    ended_cause text
);
create index if not exists {name}_live
    on chancery.{name} (account_id, created_at desc) where ended_at is null;

-- name: rows
select session_id, account_id, client_id, scope, amr, acr, generation, created_at, last_seen_at,
       idle_expires_at, expires_at, ip, user_agent, ended_at, ended_cause
from chancery.{name}
where session_id = any($1::text[]);

-- name: live
select session_id, account_id, client_id, scope, amr, acr, generation, created_at, last_seen_at,
       idle_expires_at, expires_at, ip, user_agent, ended_at, ended_cause
from chancery.sessions
where account_id = $1 and ended_at is null and least(idle_expires_at, expires_at) > $2
order by created_at desc, session_id desc;
