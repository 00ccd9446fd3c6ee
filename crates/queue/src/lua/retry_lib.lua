-- Makes a finished job ready again, behind its equals, and records when; BullMQ ignores `retriedOn`.
local function retry(id, set, reset, now)
  redis.call('ZREM', P .. set, id)
  redis.call('HDEL', P .. id, 'finishedOn', 'processedOn', set == 'failed' and 'failedReason' or 'returnvalue')
  redis.call('HSET', P .. id, 'retriedOn', now)
  if reset == '1' then redis.call('HDEL', P .. id, 'atm', 'ats') end
  make_ready(id, set)
end

