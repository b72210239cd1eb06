-- name: one_moment
set transaction isolation level repeatable read, read only;

-- name: rows
select t::text as row
from chancery.{name} t
order by t::text collate "C";
