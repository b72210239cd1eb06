-- name: write
insert into chancery.{name} (
    session_id, account_id, client_id, scope, amr, acr, generation, created_at, last_seen_at,
    idle_expires_at, expires_at, ip, user_agent, ended_at, ended_cause
)
select session_id, account_id, client_id, scope, string_to_array(amr, ' '), acr, generation, created_at,
       last_seen_at, idle_expires_at, expires_at, ip, user_agent, ended_at, ended_cause
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::timestamptz[],
    $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[], $14::timestamptz[],
    $15::text[]
) as r (session_id, account_id, client_id, scope, amr, acr, generation, created_at, last_seen_at,
        idle_expires_at, expires_at, ip, user_agent, ended_at, ended_cause)
on conflict (session_id) do update
set amr = excluded.amr,
    acr = excluded.acr,
    generation = excluded.generation,
    last_seen_at = excluded.last_seen_at,
    idle_expires_at = excluded.idle_expires_at,
    ended_at = excluded.ended_at,
    ended_cause = excluded.ended_cause;
