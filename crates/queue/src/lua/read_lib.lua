-- What a worker is given of a job, in the order in which `job.rs` reads it: an array costs Redis and the worker less than
-- a hash with its names.
local NAME, STARTED, DEFERRED = 1, 6, 9

-- Gives the values, and 0; of data with more than `longest` bytes only how many they are, in place of the 0.
local function read_job(key, longest)
  local length = redis.call('HSTRLEN', key, 'data')
  local is_fit = length <= longest
  local fields = redis.call('HMGET', key, 'name', 'opts', 'timestamp', 'priority', 'atm', 'ats', 'stacktrace', 'deid',
    'defa', 'rjk', 'parentKey', 'stc', 'retriedOn', is_fit and 'data' or 'none')
  return fields, is_fit and 0 or length
end
