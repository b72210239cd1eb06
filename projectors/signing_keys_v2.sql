-- name: write
insert into chancery.signing_keys_v2
select * from json_populate_recordset(null::chancery.signing_keys_v2, $1::json)
on conflict (kid) do update
set retires_at = excluded.retires_at;
