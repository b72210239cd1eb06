-- name: write
insert into chancery.{name} (
    account_id, status, email, email_verified, display_name, created_at,
    last_sign_in_at, password_changed_at, locked_until, disabled_at, closed_at, erase_after
)
select * from unnest(
    $1::text[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::timestamptz[], $7::timestamptz[],
    $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[]
)
on conflict (account_id) do update
set status = excluded.status,
    email = excluded.email,
    email_verified = excluded.email_verified,
    display_name = excluded.display_name,
    last_sign_in_at = excluded.last_sign_in_at,
    password_changed_at = excluded.password_changed_at,
    locked_until = excluded.locked_until,
    disabled_at = excluded.disabled_at,
    closed_at = excluded.closed_at,
    erase_after = excluded.erase_after;

-- name: delete
delete from chancery.{name} where account_id = any($1::text[]);
