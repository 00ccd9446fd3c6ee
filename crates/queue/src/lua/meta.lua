local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents')
local paused = meta[1]

-- Ends a script that has made jobs ready.
local function publish()
  if not paused then wake_up() end
  trim_events(meta[2])
end

