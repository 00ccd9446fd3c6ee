-- Completes jobs and takes others. KEYS[1] meta; ARGV now in ms, lock in ms, token, how many to take, ids that ended.
-- Returns {id, hash, id, hash, ...} of those taken.
local P = string.sub(KEYS[1], 1, -5)
local now, token = ARGV[1], ARGV[3]
for i = 5, #ARGV do
  local id = ARGV[i]
  local lock = P .. id .. ':lock'
  if redis.call('GET', lock) == token and redis.call('LREM', P .. 'active', -1, id) == 1 then
    redis.call('DEL', lock)
    redis.call('SREM', P .. 'stalled', id)
    redis.call('ZADD', P .. 'completed', now, id)
    redis.call('HSET', P .. id, 'returnvalue', 'null', 'finishedOn', now)
    redis.call('HINCRBY', P .. id, 'atm', 1)
    redis.call('XADD', P .. 'events', '*', 'event', 'completed', 'jobId', id, 'returnvalue', 'null', 'prev', 'active')
  end
end
local taken = {}
for _ = 1, tonumber(ARGV[4]) do
  local id = redis.call('RPOPLPUSH', P .. 'wait', P .. 'active')
  if not id then break end
  redis.call('SET', P .. id .. ':lock', token, 'PX', ARGV[2])
  redis.call('HSET', P .. id, 'processedOn', now)
  redis.call('HINCRBY', P .. id, 'ats', 1)
  redis.call('XADD', P .. 'events', '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
  taken[#taken + 1] = id
  taken[#taken + 1] = redis.call('HGETALL', P .. id)
end
if #taken > 0 then redis.call('ZADD', P .. 'marker', 0, '0') end
redis.call('XTRIM', P .. 'events', 'MAXLEN', '~', '10000')
return taken
