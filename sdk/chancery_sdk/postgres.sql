create table if not exists chancery_checkpoints (
    consumer text not null,
    partition integer not null,
    source text not null,
    seq bigint,
    number integer,
    sequence bigint not null,
    next_offset bigint not null,
    primary key (consumer, partition)
);

create table if not exists chancery_dead_letters (
    consumer text not null,
    partition integer not null,
    seq bigint not null,
    number integer not null,
    subject text not null,
    event json not null,
    reason text not null,
    tries integer not null,
    primary key (consumer, partition, seq, number)
);
