-- name: write
insert into chancery.clients_v1
select * from json_populate_recordset(null::chancery.clients_v1, $1::json)
on conflict (client_id) do nothing;
