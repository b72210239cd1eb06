-- name: write
insert into chancery.accounts_v3
select * from json_populate_recordset(null::chancery.accounts_v3, $1::json)
on conflict (account_id) do update
set status = excluded.status,
    email = excluded.email,
    email_canonical = excluded.email_canonical,
    email_verified = excluded.email_verified,
    display_name = excluded.display_name,
    last_sign_in_at = excluded.last_sign_in_at,
    password_changed_at = excluded.password_changed_at,
    locked_until = excluded.locked_until,
    disabled_at = excluded.disabled_at,
    closed_at = excluded.closed_at,
    erase_after = excluded.erase_after;

-- name: delete
delete from chancery.accounts_v3 where account_id = any($1::text[]);
