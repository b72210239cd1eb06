-- name: create
create table if not exists chancery.{name} (
    kid text collate "C" primary key,
    alg text not null,
    public_jwk jsonb not null,
    created_at timestamptz not null,
    activates_at timestamptz not null,
    retires_at timestamptz
);

-- name: all
select kid, alg, public_jwk::text as public_jwk, created_at, activates_at, retires_at
from chancery.{name}
order by created_at, kid;
