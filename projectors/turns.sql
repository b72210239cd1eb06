-- name: try_lock
select pg_try_advisory_lock(hashtext($1), $2) as is_ours;

-- name: stay_awake
select 1;
