-- Reads since when the first job of each priority waits, and how many wait.
-- KEYS[1] meta
-- Returns priority, timestamp, number, priority, timestamp, number, ...; priority 0 is none.
local oldest = {}
local function note(priority, id, jobs)
  local timestamp = try('HGET', P .. id, 'timestamp')
  if timestamp then
    oldest[#oldest + 1] = priority
    oldest[#oldest + 1] = number(timestamp)
    oldest[#oldest + 1] = jobs
  end
end
local first = redis.call('LINDEX', P .. 'wait', -1) or redis.call('LINDEX', P .. 'paused', -1)
if first then note(0, first, redis.call('LLEN', P .. 'wait') + redis.call('LLEN', P .. 'paused')) end
local above = 0
for _ = 1, 100 do
  local head = redis.call('ZRANGEBYSCORE', P .. 'prioritized', integer(above), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not head[1] then break end
  local priority = math.floor(tonumber(head[2]) / PRIORITY_STEP)
  local first = priority * PRIORITY_STEP
  above = first + PRIORITY_STEP
  note(priority, head[1], redis.call('ZCOUNT', P .. 'prioritized', integer(first), integer(above - 1)))
end
return oldest
