"""Where sessions and revocations live in Valkey, and the scripts that write and read them.

Law: a partition's freshness mark says that everything the log held at that time of the store was applied.
Everything is written by one script together with its checkpoint, so the store is whole at any moment, also
an older copy of it. Keys are made for one node, not for a cluster.
"""

from datetime import timedelta

PREFIX = "chancery:v1:"
LOG = PREFIX + "log"
"""The id of the log that the rest follows from."""
FRESH = PREFIX + "fresh"
"""Hash: partition → the store's time in milliseconds."""
STREAM = PREFIX + "revocations"
"""For consumers that hold revocations in memory: one entry each."""
STREAM_ENTRIES = 100_000
STREAM_START = "0-0"
SESSIONS = PREFIX + "session:"
REVOKED = PREFIX + "revoked:"

LEEWAY = timedelta(seconds=60)
LONGEST_ACCESS_TOKEN = timedelta(seconds=3600)
"""The most that CHANCERY_ACCESS_TOKEN_SECONDS allows."""


def revoked_session(session_id: str) -> str:
    return f"{REVOKED}session:{session_id}"


def revoked_jti(jti: str) -> str:
    return f"{REVOKED}jti:{jti}"


def revoked_client(client_id: str) -> str:
    return f"{REVOKED}client:{client_id}"


def live_session(log_id: str, session_id: str) -> str:
    """Hash of a session that lives. It bears the log's id, so that no other log's session is ever found."""
    return f"{SESSIONS}{log_id}:{session_id}"


def checkpoint(partition: int) -> str:
    return f"{PREFIX}checkpoint:valkey_v1:{partition}"


_HELPERS = """
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

NOW = _HELPERS + "return now_ms()"

RESET = """
-- KEYS: log, fresh, stream, checkpoints…   ARGV: log id
if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
for number = 2, #KEYS do redis.call('DEL', KEYS[number]) end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""

READ = """
-- KEYS: log, checkpoint, fresh   ARGV: log id, partition
-- The checkpoint's seq, hash and next offset; nothing if it must be built from the log's beginning.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {} end
local found = redis.call('HMGET', KEYS[2], 'seq', 'hash', 'next_offset')
if not found[1] then
  redis.call('HDEL', KEYS[3], ARGV[2])
  return {}
end
return found
"""

APPLY = (
    _HELPERS
    + """
-- KEYS: log, checkpoint, stream, revoked keys…, session keys…
-- ARGV: log id, expected seq, hash, next offset; new seq, hash, next offset; least life in ms, stream length,
--       number of revoked keys; then for each revoked key: kind, id, position, deadline in ms;
--       then for each session key, in the order of the facts: verb, deadline in ms, JSON list of names and values
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local found = redis.call('HMGET', KEYS[2], 'seq', 'hash', 'next_offset')
if (found[1] or '-1') ~= ARGV[2] or (found[2] or '') ~= ARGV[3] or (found[3] or '0') ~= ARGV[4] then return 0 end
local now = now_ms()
local least = tonumber(ARGV[8])
local revoked = tonumber(ARGV[10])
for number = 4, 3 + revoked do
  local at = 11 + (number - 4) * 4
  local deadline = tonumber(ARGV[at + 3])
  if least > 0 then deadline = math.max(deadline, now + least) end
  if deadline > now then
    local text = string.format('%.0f', deadline)
    redis.call('SET', KEYS[number], ARGV[at + 2], 'PXAT', text)
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[9], '*',
      'kind', ARGV[at], 'id', ARGV[at + 1], 'position', ARGV[at + 2], 'until_ms', text)
  end
end
for number = 4 + revoked, #KEYS do
  local at = 11 + revoked * 4 + (number - 4 - revoked) * 3
  local key, verb, deadline, fields = KEYS[number], ARGV[at], tonumber(ARGV[at + 1]), cjson.decode(ARGV[at + 2])
  if verb == 'change' then
    if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, unpack(fields)) end
  elseif verb == 'end' or deadline <= now then
    redis.call('DEL', key)
  elseif verb == 'start' or redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, unpack(fields))
    local latest = math.min(deadline, tonumber(redis.call('HGET', key, 'expires_ms')))
    redis.call('PEXPIREAT', key, string.format('%.0f', latest))
  end
end
redis.call('HSET', KEYS[2], 'seq', ARGV[5], 'hash', ARGV[6], 'next_offset', ARGV[7])
return 1
"""
)

MARK = """
-- KEYS: log, fresh, checkpoints…   ARGV: log id, time in ms; then for each checkpoint: partition, log's end
-- The partitions that were applied up to the end, and so are marked.
local marked = {}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return marked end
for number = 3, #KEYS do
  local at = 3 + (number - 3) * 2
  local reached = redis.call('HGET', KEYS[number], 'next_offset')
  if reached and tonumber(reached) >= tonumber(ARGV[at + 1]) then
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[2])
    marked[#marked + 1] = tonumber(ARGV[at])
  end
end
return marked
"""

_AGE = """
local function age_of_oldest_mark(marks, partitions)
  local now = now_ms()
  local age = 0
  for partition = 0, partitions - 1 do
    local mark = redis.call('HGET', marks, partition)
    if not mark or tonumber(mark) > now then return -1 end
    age = math.max(age, now - mark)
  end
  return age
end
"""

CHECK = (
    _HELPERS
    + _AGE
    + """
-- KEYS: fresh, then two keys for each token   ARGV: partitions
-- The age in ms of the oldest mark (-1: one is missing or lies in the future), and a 1 or 0 for each token.
local flags = {}
for number = 2, #KEYS, 2 do
  flags[#flags + 1] = redis.call('EXISTS', KEYS[number], KEYS[number + 1]) > 0 and '1' or '0'
end
return {age_of_oldest_mark(KEYS[1], ARGV[1]), table.concat(flags)}
"""
)

FIND_SESSION = (
    _HELPERS
    + _AGE
    + """
-- KEYS: fresh, log   ARGV: partitions, session id, the prefix of session keys
-- The age as above, and the session's names and values, none if it does not live.
local log = redis.call('GET', KEYS[2]) or ''
local found = redis.call('HGETALL', ARGV[3] .. log .. ':' .. ARGV[2])
return {age_of_oldest_mark(KEYS[1], ARGV[1]), found}
"""
)

_RUN = """
local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end
"""

POLL = (
    _HELPERS
    + _AGE
    + _RUN
    + """
-- KEYS: fresh, log, stream, checkpoints…   ARGV: partitions, the last entry that is known, most entries
-- Which run of the store this is, the log's id, its time in ms, the age as above, the seq that each partition was applied up to, how many
-- entries the stream ever had, its last entry, and those after the one that is known: id and flat list of names and
-- values.
local added, last, entries, seqs = 0, '0-0', {}, {}
for number = 4, #KEYS do seqs[#seqs + 1] = redis.call('HGET', KEYS[number], 'seq') or '-1' end
local info = redis.pcall('XINFO', 'STREAM', KEYS[3])
if not info.err then
  for number = 1, #info, 2 do
    if info[number] == 'entries-added' then added = info[number + 1] end
    if info[number] == 'last-generated-id' then last = info[number + 1] end
  end
  entries = redis.call('XRANGE', KEYS[3], '(' .. ARGV[2], '+', 'COUNT', ARGV[3])
end
local age = age_of_oldest_mark(KEYS[1], ARGV[1])
return {run_id(), redis.call('GET', KEYS[2]) or '', now_ms(), age, seqs, added, last, entries}
"""
)

SCAN = (
    _RUN
    + """
-- ARGV: cursor, how much to look at, the prefix of what is wanted
-- Which run of the store this is (another one's cursor would pass keys over), the next cursor, and key, value and
-- deadline in ms of each that was found and ends by itself.
local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[3] .. '*', 'COUNT', ARGV[2])
local found = {}
for _, key in ipairs(page[2]) do
  local deadline, value = redis.call('PEXPIRETIME', key), redis.call('GET', key)
  if value and deadline > 0 then
    found[#found + 1] = key
    found[#found + 1] = value
    found[#found + 1] = deadline
  end
end
return {run_id(), page[1], found}
"""
)
