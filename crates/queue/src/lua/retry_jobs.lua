-- Runs some of the completed or failed jobs again.
-- KEYS[1] meta
-- ARGV    completed or failed, text that the reason of a failed job must contain or '', '1' to reset attempts, time up to
--         which the jobs have ended and now (ms since 1970), number of jobs to skip, number of jobs to read
-- Returns {number of retried jobs, number of jobs left as they were, 1 if there may be more}
local set, reason = ARGV[1], ARGV[2]
local ids = redis.call('ZRANGEBYSCORE', P .. set, '-inf', ARGV[4], 'LIMIT', ARGV[6], ARGV[7])
local retried = 0
for _, id in ipairs(ids) do
  local field = redis.call('HGET', P .. id, reason == '' and 'name' or 'failedReason')
  if field and (reason == '' or string.find(field, reason, 1, true)) then
    local exists = transitions.retry(id, set, ARGV[3], ARGV[5])
    leave(id, set)
    if exists then retried = retried + 1 end
  end
end
if retried > 0 then
  wake_up()
  trim_events()
end
return {retried, #ids - retried, #ids == number(ARGV[7]) and 1 or 0}
