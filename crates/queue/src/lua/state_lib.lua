-- Returns the name of the key that holds a job's id, or nil.
local SORTED = {'completed', 'failed', 'delayed', 'prioritized'}
local LISTS = {'active', 'wait', 'paused'}
local function place_of(id)
  for _, set in ipairs(SORTED) do
    if redis.call('ZSCORE', P .. set, id) then return set end
  end
  for _, list in ipairs(LISTS) do
    if redis.call('LPOS', P .. list, id) then return list end
  end
end

local function leave(place, id)
  if place == 'active' or place == 'wait' or place == 'paused' then
    redis.call('LREM', P .. place, 1, id)
  else
    redis.call('ZREM', P .. place, id)
  end
end

-- Returns whether only BullMQ can handle a job: it belongs to a scheduler or to a flow.
local function is_foreign(id)
  return redis.call('HEXISTS', P .. id, 'rjk') == 1 or redis.call('HEXISTS', P .. id, 'parentKey') == 1
end

