-- The one place where ids of jobs enter and leave states. Some states are lists, the others sorted sets.
local IS_LIST = {wait = true, paused = true, active = true}

-- Returns the name of the key that holds a job's id, or nil.
local function place_of(id)
  for _, set in ipairs({'completed', 'failed', 'delayed', 'prioritized', 'waiting-children'}) do
    if try('ZSCORE', P .. set, id) then return set end
  end
  for _, list in ipairs({'active', 'wait', 'paused'}) do
    if try('LPOS', P .. list, id) then return list end
  end
end

-- Removes an id from a state. Returns whether it was there.
local function leave(id, place)
  if IS_LIST[place] then return redis.call('LREM', P .. place, 1, id) > 0 end
  return redis.call('ZREM', P .. place, id) > 0
end

-- Counts up the places within `prioritized`.
local function next_place(step)
  local place = try('INCRBY', P .. 'pc', step)
  if not place then -- it was no counter
    redis.call('SET', P .. 'pc', step)
    place = step
  end
  return place % PRIORITY_STEP
end

-- Returns the score that puts a job before all others of its priority.
local function score_before(priority)
  local first, last = priority * PRIORITY_STEP, (priority + 1) * PRIORITY_STEP - 1
  local head = try('ZRANGEBYSCORE', P .. 'prioritized', first, last, 'WITHSCORES', 'LIMIT', 0, 1)
  if head and head[2] then return math.max(tonumber(head[2]) - 1, first) end
  return first + next_place(65536) -- with room for others that are put before it
end

-- Puts an id among the ready ones: behind its equals, or before them if `at` is 'first', or with BullMQ's score for that if
-- it is 'lifo'. Returns nothing if the key has another type.
local function make_ready(id, priority, at)
  if priority <= 0 then return try(at and 'RPUSH' or 'LPUSH', waiting_list(), id) end
  local score = at == 'first' and score_before(priority) or priority * PRIORITY_STEP + (at and 0 or next_place(1))
  return try('ZADD', P .. 'prioritized', integer(score), id)
end

-- Puts a job that has left the state `prev`, or a new one, into `state`: 'delayed' until `at` (ms since 1970), or 'ready', which is
-- `prioritized` or a list: behind its equals, or before them if `at` is 'first'. Returns whether there is such a job: an
-- id without a hash, or with what is left of one, enters no state, and can be added again. Returns nil if the state's key
-- has another type.
local function enter(id, state, prev, at)
  local job = try('HMGET', P .. id, 'priority', 'name', 'opts', 'timestamp')
  if not job or not (job[2] or job[3] or job[4]) then return false end
  if state == 'delayed' then
    local score = score_at(at)
    if not score then return end
    redis.call('ZADD', P .. 'delayed', score, id)
    event('delayed', 'jobId', id, 'delay', integer(at))
    return true
  end
  if not make_ready(id, math.min(math.floor(number(job[1])), 2097151), at) then return end
  if prev then event('waiting', 'jobId', id, 'prev', prev) else event('waiting', 'jobId', id) end
  return true
end

-- Returns whether there is a hash with an id: a job, or what is left of one.
local function is_stored(id)
  return redis.call('TYPE', P .. id).ok == 'hash'
end

-- Returns whether there is a job with an id.
local function is_job(id)
  local job = is_stored(id) and redis.call('HMGET', P .. id, 'name', 'data', 'opts', 'timestamp')
  return job and job[1] and job[2] and job[3] and job[4] and true or false
end

-- Returns whether a job is the one that its scheduler has to come, without which the schedule would end.
local function is_next_of_scheduler(id)
  local scheduler = redis.call('HGET', P .. id, 'rjk')
  local at = scheduler and try('ZSCORE', P .. 'repeat', scheduler)
  return at and id == 'repeat:' .. scheduler .. ':' .. string.format('%.0f', at)
end

