-- Fields that a worker gets, in the order of `job.rs`: an array costs Redis and the worker less than a hash with names.
local NAME, STARTED, DEFERRED = 1, 6, 9

-- Returns the fields and 0, or if the data has more than `longest` bytes, the other fields and its length.
local function read_job(key, longest)
  local length = redis.call('HSTRLEN', key, 'data')
  local is_fit = length <= longest
  local fields = redis.call('HMGET', key, 'name', 'opts', 'timestamp', 'priority', 'atm', 'ats', 'stacktrace', 'deid',
    'defa', 'rjk', 'parentKey', 'stc', 'retriedOn', is_fit and 'data' or 'none')
  return fields, is_fit and 0 or length
end
