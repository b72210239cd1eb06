-- name: write
insert into chancery.{name}
select * from json_populate_recordset(null::chancery.{name}, $1::json)
on conflict (account_id) do update
set totp_enrolled_at = excluded.totp_enrolled_at,
    totp_used_at = excluded.totp_used_at,
    recovery_codes_issued_at = excluded.recovery_codes_issued_at,
    recovery_codes_left = excluded.recovery_codes_left,
    passkeys = excluded.passkeys;

-- name: delete
delete from chancery.{name} where account_id = any($1::text[]);
