-- name: create
create table if not exists chancery.{name} (
    identifier text collate "C" primary key,
    holder text,
    claims text[] not null,
    held_since timestamptz,
    waiting text[] not null
);

-- name: rows
select identifier, holder, claims, held_since, waiting
from chancery.{name}
where identifier = any($1::text[]);
