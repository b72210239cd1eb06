-- name: write
insert into chancery.{name} (identifier, holder, claims, held_since, waiting)
select identifier, holder, string_to_array(claims, ' '), held_since, string_to_array(waiting, ' ')
from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
    as r (identifier, holder, claims, held_since, waiting)
on conflict (identifier) do update
set holder = excluded.holder,
    claims = excluded.claims,
    held_since = excluded.held_since,
    waiting = excluded.waiting;

-- name: delete
delete from chancery.{name} where identifier = any($1::text[]);
