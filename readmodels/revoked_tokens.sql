-- name: create
create table if not exists chancery.{name} (
    jti text collate "C" primary key,
    client_id text collate "C" not null,
    revoked_at timestamptz not null,
    expires_at timestamptz not null
);

-- name: verdicts
-- One snapshot for all: what is marked fresh in it also holds everything up to that mark.
with marks as (
    select count(*) filter (where clock_timestamp() - fresh_at between interval '0' and $5) as fresh
    from chancery.checkpoints join chancery.read_models using (projector)
    where role = 'serving' and read_model = any($6::text[])
)
select asked.number,
       exists (select from chancery.sessions s where s.session_id = asked.session_id and s.ended_at is not null)
       or exists (select from chancery.revoked_tokens t where t.jti = asked.jti)
       or exists (
           select from chancery.clients c
           where c.client_id = asked.client_id and c.deleted_at is not null
       ) as is_revoked,
       marks.fresh >= $4 as is_fresh
from unnest($1::text[], $2::text[], $3::text[]) with ordinality as asked (session_id, jti, client_id, number), marks
order by asked.number;
