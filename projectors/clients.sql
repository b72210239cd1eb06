-- name: write
insert into chancery.{name}
select * from json_populate_recordset(null::chancery.{name}, $1::json)
on conflict (client_id) do update
set secret_digests = excluded.secret_digests,
    deleted_at = excluded.deleted_at;
