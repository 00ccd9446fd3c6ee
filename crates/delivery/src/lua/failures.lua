-- Records failed mails in groups. KEYS[1] holds the groups by when they were met last; the other keys begin with it.
-- ARGV    for how many ms a mail stays in its group; most groups; for each mail: its group, job and time in ms, and what failed
local K, retention, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local function text(number) return string.format('%.0f', number) end

local newest, touched = 0, {}
for i = 3, #ARGV, 4 do
  local group, job, at = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local before = redis.call('HGET', K .. ':of', job)
  if before and before ~= group then redis.call('ZREM', K .. ':' .. before .. ':jobs', job) end
  redis.call('HSET', K .. ':of', job, group)
  redis.call('ZADD', K .. ':' .. group .. ':jobs', text(at), job)
  local hash = K .. ':' .. group
  if redis.call('HINCRBY', hash, 'count', 1) == 1 then
    redis.call('HSET', hash, 'first', text(at), 'fields', ARGV[i + 3])
  end
  redis.call('HSET', hash, 'last', text(at), 'sample', job)
  redis.call('ZADD', K, text(at), group)
  newest, touched[group] = math.max(newest, at), true
end

-- Mails that are too old leave their groups, some with each call.
local oldest = text(newest - retention)
local function leave(group, jobs)
  if #jobs == 0 then return end
  redis.call('HDEL', K .. ':of', unpack(jobs))
  redis.call('ZREM', K .. ':' .. group .. ':jobs', unpack(jobs))
end
for group in pairs(touched) do
  leave(group, redis.call('ZRANGEBYSCORE', K .. ':' .. group .. ':jobs', '-inf', oldest, 'LIMIT', 0, 500))
end
for _ = 1, 5 do
  local group = redis.call('ZRANGE', K, 0, 0, 'WITHSCORES')
  if not group[1] or (tonumber(group[2]) > newest - retention and redis.call('ZCARD', K) <= most) then break end
  local jobs = redis.call('ZRANGE', K .. ':' .. group[1] .. ':jobs', 0, 999)
  leave(group[1], jobs)
  if #jobs < 1000 then
    redis.call('ZREM', K, group[1])
    redis.call('DEL', K .. ':' .. group[1], K .. ':' .. group[1] .. ':jobs')
  end
end
return 1
