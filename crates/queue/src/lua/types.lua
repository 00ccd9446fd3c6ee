-- Types of the queue's keys, as BullMQ has them.
local TYPES = {
  meta = 'hash', id = 'string', pc = 'string', events = 'stream', marker = 'zset', wait = 'list', paused = 'list',
  active = 'list', prioritized = 'zset', delayed = 'zset', completed = 'zset', failed = 'zset', stalled = 'set',
  ['waiting-children'] = 'zset',
}

-- Returns whether a key has a type, or does not exist; if not, keeps why.
local function has_type(key, expected)
  local found = redis.call('TYPE', key).ok
  if found == 'none' or found == expected then return true end
  failure = 'the key ' .. key .. ' is a ' .. found .. ', not a ' .. expected
  return false
end

-- Returns whether all keys of the queue have their types.
local function is_intact()
  for name, expected in pairs(TYPES) do
    if not has_type(P .. name, expected) then return false end
  end
  return true
end

