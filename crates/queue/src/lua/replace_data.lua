-- Replaces the data of ended jobs.
-- KEYS[1] meta
-- ARGV    completed or failed, id, data, id, data, ...
-- Returns the ids of existing jobs that have not ended yet.
local early = {}
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('ZSCORE', P .. ARGV[1], id) and redis.call('EXISTS', P .. id) == 1 then
    redis.call('HSET', P .. id, 'data', ARGV[i + 1])
  elseif redis.call('EXISTS', P .. id) == 1 and not redis.call('ZSCORE', P .. 'completed', id)
    and not redis.call('ZSCORE', P .. 'failed', id) then
    early[#early + 1] = id
  end
end
return early
