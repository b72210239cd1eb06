-- name: write
insert into chancery.signing_keys_v1
select * from json_populate_recordset(null::chancery.signing_keys_v1, $1::json)
on conflict (kid) do nothing;
