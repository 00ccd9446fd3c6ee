-- Reads since when the first job of each priority waits.
-- KEYS[1] meta
-- Returns priority, timestamp, priority, timestamp, ...; priority 0 is none.
local oldest = {}
local function note(priority, id)
  local timestamp = try('HGET', P .. id, 'timestamp')
  if timestamp then
    oldest[#oldest + 1] = priority
    oldest[#oldest + 1] = number(timestamp)
  end
end
local first = redis.call('LINDEX', P .. 'wait', -1) or redis.call('LINDEX', P .. 'paused', -1)
if first then note(0, first) end
local above = 0
for _ = 1, 100 do
  local head = redis.call('ZRANGEBYSCORE', P .. 'prioritized', integer(above), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not head[1] then break end
  local priority = math.floor(tonumber(head[2]) / PRIORITY_STEP)
  note(priority, head[1])
  above = (priority + 1) * PRIORITY_STEP
end
return oldest
