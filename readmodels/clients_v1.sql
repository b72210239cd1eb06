-- name: create
create table if not exists chancery.clients_v1 (
    client_id text collate "C" primary key,
    name text not null,
    scopes text[] not null,
    audiences text[] not null,
    secret_digest text not null,
    created_at timestamptz not null
);

-- name: by_id
select client_id, name, scopes, audiences, secret_digest, created_at
from chancery.clients_v1
where client_id = $1;
