-- name: write
insert into chancery.revoked_tokens_v1
select * from json_populate_recordset(null::chancery.revoked_tokens_v1, $1::json)
on conflict (jti) do nothing;
