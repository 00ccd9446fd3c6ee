-- The queue's settings. A number that BullMQ would not write counts as absent.
local Q
do
  local meta = redis.call('HMGET', KEYS[1], 'paused', 'opts.maxLenEvents', 'concurrency', 'max', 'duration')
  local max_events = meta[2]
  if max_events ~= '10000' and not (max_events and string.match(max_events, '^%d%d?%d?%d?%d?%d?%d?%d?%d?$')) then
    max_events = '10000'
  end
  Q = {paused = meta[1], max_events = max_events, has_max_events = meta[2]}
  local concurrency = meta[3] and tonumber(meta[3])
  if concurrency and concurrency == concurrency then Q.concurrency = math.ceil(number(meta[3])) end
  if meta[4] and number(meta[4]) > 0 and number(meta[5]) >= 1 then
    Q.max, Q.duration = math.ceil(number(meta[4])), math.ceil(number(meta[5]))
  end
end

