-- The queue's settings. A number that BullMQ would not write counts as absent.
local Q
do
  local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents', 'concurrency', 'max')
  local max_events = meta[2]
  if max_events ~= '10000' and not (max_events and string.match(max_events, '^%d%d?%d?%d?%d?%d?%d?%d?%d?$')) then
    max_events = '10000'
  end
  Q = {paused = meta[1], max_events = max_events, has_max_events = meta[2]}
  if meta[3] or meta[4] then
    local concurrency = tonumber(meta[3] or nil)
    if concurrency and concurrency == concurrency then Q.concurrency = math.ceil(number(meta[3])) end
    local duration = meta[4] and number(meta[4]) > 0 and number(redis.call('HGET', KEYS[1], 'duration')) or 0
    if duration >= 1 then Q.max, Q.duration = math.ceil(number(meta[4])), math.ceil(duration) end
  end
end

