-- Shared by scripts that add jobs of schedulers. A scheduler is a member of `repeat`, whose score is the time of its next
-- job, and a hash `repeat:<id>`; that job's id is `repeat:<id>:<time>`.

-- Returns the next time of a scheduler that runs every `every` ms, and how far that is from a multiple of it.
local function next_of_every(prev, every, now, offset, start)
  local slot = math.floor(now / every) * every + offset
  if slot <= now then slot = slot + every end
  local at = now
  if prev then
    at = prev + every
    if at < now then at = slot end -- times were missed
  elseif start > 0 then
    at = math.max(start, now)
  elseif offset > 0 then
    at = slot
  end
  return at, offset > 0 and offset or at % every
end

-- Adds a scheduler's job, whose options are what comes before `delay` and `jobId` and whose id is `job.prefix` and its time,
-- and returns its id.
local function add_scheduled(scheduler, at, now, job)
  local id, delay = job.prefix .. integer(at), math.max(at - now, 0)
  local opts = string.format('%s,"delay":%s,"jobId":%s%s"}', job.opts, integer(delay), job.json_id, integer(at))
  if not Q.has_max_events then redis.call('HSET', P .. 'meta', 'opts.maxLenEvents', Q.max_events) end
  redis.call('INCR', P .. 'id')
  redis.call('HSET', P .. id, 'name', job.name, 'data', job.data, 'opts', opts, 'timestamp', integer(now), 'delay',
    integer(delay), 'priority', job.priority, 'rjk', scheduler)
  if job.deduplication_id ~= '' then redis.call('HSET', P .. id, 'deid', job.deduplication_id) end
  event('added', 'jobId', id, 'name', job.name)
  if delay > 0 then
    enter(id, 'delayed', nil, at)
    announce_next_due()
  else
    enter(id, 'ready', nil, job.lifo == '1' and 'first')
    wake_up()
  end
  trim_events()
  return id
end

