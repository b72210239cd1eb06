-- name: create
-- How far each consumer says that it has come; `reported_at` is the server's own time.
create table if not exists chancery.consumer_reports (
    consumer text collate "C" not null,
    partition integer not null,
    seq bigint not null,
    next_offset bigint not null,
    log_end bigint not null,
    lag_seconds double precision,
    halted text,
    reported_at timestamptz not null,
    primary key (consumer, partition)
) with (fillfactor = 50);

-- name: publish
-- Of two processes the one that is further is believed, unless it has fallen silent.
insert into chancery.consumer_reports as known
       (consumer, partition, seq, next_offset, log_end, lag_seconds, halted, reported_at)
select $1, report.*, clock_timestamp()
from unnest($2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::float8[], $7::text[])
     as report (partition, seq, next_offset, log_end, lag_seconds, halted)
order by report.partition
on conflict (consumer, partition) do update
set seq = excluded.seq,
    next_offset = excluded.next_offset,
    log_end = excluded.log_end,
    lag_seconds = excluded.lag_seconds,
    halted = excluded.halted,
    reported_at = excluded.reported_at
where excluded.next_offset >= known.next_offset or known.reported_at < excluded.reported_at - $8::interval;
