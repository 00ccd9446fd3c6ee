-- Ends the script before it writes if a key of the queue has another type than BullMQ's, which would end it halfway.
local function check_types()
  local types = {
    meta = 'hash', id = 'string', pc = 'string', events = 'stream', marker = 'zset', wait = 'list', paused = 'list',
    active = 'list', prioritized = 'zset', delayed = 'zset', completed = 'zset', failed = 'zset', stalled = 'set',
    ['waiting-children'] = 'zset',
  }
  for name, expected in pairs(types) do
    local found = redis.call('TYPE', P .. name).ok
    if found ~= 'none' and found ~= expected then
      error('the key ' .. P .. name .. ' is a ' .. found .. ', not a ' .. expected)
    end
  end
end
check_types()

