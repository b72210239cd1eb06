-- name: create
create table if not exists chancery.{name} (
    client_id text collate "C" primary key,
    name text not null,
    scopes text[] not null,
    audiences text[] not null,
    secret_digests text[] not null,
    created_at timestamptz not null,
    deleted_at timestamptz
);

-- name: rows
select client_id, name, scopes, audiences, secret_digests, created_at, deleted_at
from chancery.{name}
where client_id = any($1::text[]);
