-- Returns to a worker the jobs that it took by a poll whose answer was lost.
-- KEYS[1] meta
-- ARGV    the worker's part of its tokens, lock in ms, then the ids of jobs that it knows of
-- Returns {1 if there are more, token, job as of read_lib.lua, token, job, ...} of other jobs that the worker has locked, as
--          long as they have together no more bytes than one job may have
local known, reclaimed, bytes = {}, {0}, 0
for at = 3, #ARGV do known[ARGV[at]] = true end
local active = redis.call('LRANGE', P .. 'active', 0, 4999)
for _, id in ipairs(active) do
  local lock = P .. id .. ':lock'
  local token = not known[id] and redis.call('MGET', lock)[1]
  if token and string.match(token, ':([^:]+):%d+$') == ARGV[1] then
    redis.call('PEXPIRE', lock, ARGV[2])
    local job = read_taken(id, LONGEST)
    bytes = bytes + (job and job.bytes or 0)
    if bytes > LONGEST and #reclaimed > 1 then
      reclaimed[1] = 1
      break
    end
    if job then
      reclaimed[#reclaimed + 1] = token
      reclaimed[#reclaimed + 1] = job
    end
  end
end
return reclaimed
