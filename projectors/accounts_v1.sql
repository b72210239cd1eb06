-- name: write
insert into chancery.accounts_v1
select * from json_populate_recordset(null::chancery.accounts_v1, $1::json)
on conflict (account_id) do update
set status = excluded.status,
    email_verified = excluded.email_verified,
    display_name = excluded.display_name;

-- name: delete
delete from chancery.accounts_v1 where account_id = any($1::text[]);
