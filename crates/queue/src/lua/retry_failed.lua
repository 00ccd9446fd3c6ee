-- Runs some of the failed jobs again.
-- KEYS[1] meta
-- ARGV    what the reason must contain or '', '1' to count attempts anew, now (ms since 1970), by when they must have
--         failed, how many to pass over, how many to look at
-- Returns {how many are run again, how many were passed by, 1 if there may be more}
local ids = redis.call('ZRANGEBYSCORE', P .. 'failed', '-inf', ARGV[3], 'LIMIT', ARGV[4], ARGV[5])
local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents')
local retried = 0
for _, id in ipairs(ids) do
  local reason = redis.call('HGET', P .. id, 'failedReason')
  if reason and (ARGV[1] == '' or string.find(reason, ARGV[1], 1, true)) then
    retry(id, 'failed', ARGV[2], meta[1], ARGV[3])
    retried = retried + 1
  end
end
if retried > 0 then
  if not meta[1] then wake_up() end
  trim_events(meta[2])
end
return {retried, #ids - retried, #ids == number(ARGV[5]) and 1 or 0}
