-- name: status
-- A table has its own checkpoint beside its rows; what its consumer says holds for it as far as it has come as far.
with reports as (
    select *, extract(epoch from clock_timestamp() - reported_at)::float8 as silent_seconds
    from chancery.consumer_reports
)
select c.projector, c.partition, c.seq, c.next_offset, r.log_end, r.silent_seconds,
       least(
           extract(epoch from clock_timestamp() - c.fresh_at)::float8,
           case when c.next_offset >= r.next_offset then r.lag_seconds + r.silent_seconds end
       ) as lag_seconds,
       case when c.next_offset <= r.next_offset then r.halted end as halted,
       exists (select from chancery.pauses where consumer = 'tables') as is_paused
from chancery.checkpoints c
left join reports r on r.consumer = 'tables' and r.partition = c.partition
where c.projector = any($1::text[])
union all
select r.consumer, r.partition, r.seq, r.next_offset, r.log_end, r.silent_seconds,
       r.lag_seconds + r.silent_seconds, r.halted, false
from reports r
where r.consumer = any($1::text[]);
