-- name: started
insert into chancery.sessions_v1 (
    session_id, account_id, client_id, scope, amr, acr, generation, created_at, last_seen_at, idle_expires_at,
    expires_at, ip, user_agent
)
select session_id, account_id, client_id, scope, '{pwd}', acr, 1, started_at, started_at, idle_expires_at,
       expires_at, ip, user_agent
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
            $8::timestamptz[], $9::text[], $10::text[])
    as r (session_id, account_id, client_id, scope, acr, started_at, idle_expires_at, expires_at, ip, user_agent)
on conflict do nothing;

-- name: refreshed
update chancery.sessions_v1 s
set generation = r.generation, last_seen_at = r.refreshed_at, idle_expires_at = r.idle_expires_at
from unnest($1::text[], $2::int[], $3::timestamptz[], $4::timestamptz[])
    as r (session_id, generation, refreshed_at, idle_expires_at)
where s.session_id = r.session_id;

-- name: revoked
update chancery.sessions_v1 s
set ended_at = r.at, ended_cause = r.cause
from unnest($1::text[], $2::timestamptz[], $3::text[]) as r (session_id, at, cause)
where s.session_id = r.session_id;

-- name: registered
insert into chancery.accounts_v1 (
    account_id, status, email, email_verified, display_name, created_at
)
select account_id, 'pending', email, false, display_name, registered_at
from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
    as r (account_id, email, display_name, registered_at)
on conflict do nothing;

-- name: verified
update chancery.accounts_v1 set status = 'active', email_verified = true where account_id = any($1::text[]);

-- name: signed_in
update chancery.accounts_v1 a
set last_sign_in_at = r.at
from unnest($1::text[], $2::timestamptz[]) as r (account_id, at)
where a.account_id = r.account_id;
