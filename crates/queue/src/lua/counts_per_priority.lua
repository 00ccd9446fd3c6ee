-- Counts the ready jobs of some priorities.
-- KEYS[1] meta
-- ARGV    priorities; 0 is none
-- Returns the number of jobs of each
local counts = {}
for at, argument in ipairs(ARGV) do
  local first = number(argument) * PRIORITY_STEP
  if first == 0 then
    counts[at] = redis.call('LLEN', P .. 'wait') + redis.call('LLEN', P .. 'paused')
  else
    local last = first + PRIORITY_STEP - 1
    counts[at] = redis.call('ZCOUNT', P .. 'prioritized', integer(first), integer(last))
  end
end
return counts
