-- Runs some of the failed jobs again.
-- KEYS[1] meta
-- ARGV    text that the reason must contain or '', '1' to reset attempts, now (ms since 1970): later failures are left
--         out, number of jobs to skip, number of jobs to read
-- Returns {number of retried jobs, number of jobs left as they were, 1 if there may be more}
local ids = redis.call('ZRANGEBYSCORE', P .. 'failed', '-inf', ARGV[3], 'LIMIT', ARGV[4], ARGV[5])
local retried = 0
for _, id in ipairs(ids) do
  local reason = redis.call('HGET', P .. id, 'failedReason')
  if reason and (ARGV[1] == '' or string.find(reason, ARGV[1], 1, true)) then
    retry(id, 'failed', ARGV[2], ARGV[3])
    retried = retried + 1
  end
end
if retried > 0 then publish() end
return {retried, #ids - retried, #ids == number(ARGV[5]) and 1 or 0}
