-- Makes delayed jobs ready now: one of them, or the first ones.
-- KEYS[1] meta
-- ARGV    id or '', how many
-- Returns how many, or for one id 'none' where there is no such job, or else where the job is.
local ids = {ARGV[1]}
if ARGV[1] == '' then
  ids = redis.call('ZRANGE', P .. 'delayed', 0, number(ARGV[2]) - 1)
else
  local place = place_of(ARGV[1])
  if place ~= 'delayed' then return place or 'none' end
end
local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents')
for _, id in ipairs(ids) do
  redis.call('ZREM', P .. 'delayed', id)
  redis.call('HSET', P .. id, 'delay', '0')
  make_ready(id, number(redis.call('HGET', P .. id, 'priority')), meta[1])
  event('waiting', 'jobId', id, 'prev', 'delayed')
end
if #ids > 0 then
  if not meta[1] then wake_up() end
  trim_events(meta[2])
end
return integer(#ids)
