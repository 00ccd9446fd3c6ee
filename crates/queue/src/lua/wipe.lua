-- Replaces the data of completed jobs.
-- KEYS[1] meta
-- ARGV    id, data, id, data, ...
-- Returns the ids of jobs that are there and not completed yet.
local early = {}
for i = 1, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('ZSCORE', P .. 'completed', id) then
    redis.call('HSET', P .. id, 'data', ARGV[i + 1])
  elseif redis.call('EXISTS', P .. id) == 1 and not redis.call('ZSCORE', P .. 'failed', id) then
    early[#early + 1] = id
  end
end
return early
