-- name: write
insert into chancery.sessions_v1
select * from json_populate_recordset(null::chancery.sessions_v1, $1::json)
on conflict (session_id) do update
set generation = excluded.generation,
    last_seen_at = excluded.last_seen_at,
    idle_expires_at = excluded.idle_expires_at,
    ended_at = excluded.ended_at,
    ended_cause = excluded.ended_cause;
