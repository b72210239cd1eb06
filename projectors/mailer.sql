-- name: try_lock
select pg_try_advisory_lock(hashtext('chancery mailer'), $1) as is_ours;

-- name: stay_awake
select 1;
