-- name: write
insert into chancery.{name}
select * from json_populate_recordset(null::chancery.{name}, $1::json)
on conflict (kid) do update
set retires_at = excluded.retires_at;
