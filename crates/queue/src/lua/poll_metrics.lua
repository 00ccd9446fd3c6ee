-- BullMQ's metrics: for each way to end the number of jobs of each minute, the newest first. `prevTS` and `prevCount` say
-- when the last minute was added, and how many jobs had ended by then. A key of another type only ends the counting.
local function collect(key, jobs)
  local count = redis.pcall('HINCRBY', key, 'count', jobs)
  if type(count) == 'table' then return end
  local last = redis.call('HMGET', key, 'prevTS', 'prevCount')
  if not last[1] then return redis.call('HSET', key, 'prevTS', ARGV[1], 'prevCount', '0') end
  local minutes = math.floor(poll.now / 60000) - math.floor(number(last[1]) / 60000)
  local points = math.min(minutes, poll.points)
  if points < 1 then return end
  count = count - jobs
  local values = {integer(count - number(last[2]))}
  for at = 2, points do values[at] = '0' end
  for from = 1, points, 5000 do
    local length = redis.pcall('LPUSH', key .. ':data', unpack(values, from, math.min(from + 4999, points)))
    if type(length) == 'table' then return end
  end
  redis.call('LTRIM', key .. ':data', 0, poll.points - 1)
  redis.call('HSET', key, 'prevTS', ARGV[1], 'prevCount', integer(count))
end

-- Counts the jobs that ended in this poll.
function seldom.collect_metrics()
  local ended = {completed = 0, failed = 0}
  for i = 1, poll.reports do
    local outcome = ARGV[HEAD + (i - 1) * WIDTH + 3]
    local set = outcome == 'poisoned' and 'failed' or outcome == 'child_completed' and 'completed' or outcome
    if ended[set] and answer[CODES + i] == DONE then ended[set] = ended[set] + 1 end
  end
  for set, jobs in pairs(ended) do
    if jobs > 0 then collect(P .. 'metrics:' .. set, jobs) end
  end
end

return seldom
