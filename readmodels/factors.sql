-- name: create
create table if not exists chancery.{name} (
    account_id text collate "C" primary key,
    totp_enrolled_at timestamptz,
    totp_used_at timestamptz,
    recovery_codes_issued_at timestamptz,
    recovery_codes_left integer not null,
    passkeys jsonb not null
);

-- name: rows
select account_id, totp_enrolled_at, totp_used_at, recovery_codes_issued_at, recovery_codes_left, passkeys
from chancery.{name}
where account_id = any($1::text[]);
