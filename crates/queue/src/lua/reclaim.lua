-- Returns to a worker the jobs that it took by a poll whose answer was lost.
-- KEYS[1] meta
-- ARGV    the worker's part of its tokens, lock in ms, longest data in bytes, then the ids of jobs that it knows of
-- Returns {id, token, fields, 0 or the length of data too long to be read} of each other job that the worker has locked
local known, reclaimed = {}, {}
for at = 4, #ARGV do known[ARGV[at]] = true end
local active = redis.call('LRANGE', P .. 'active', 0, 4999)
for _, id in ipairs(active) do
  local lock = P .. id .. ':lock'
  local token = not known[id] and redis.call('GET', lock)
  if token and string.match(token, ':([^:]+):%d+$') == ARGV[1] then
    redis.call('PEXPIRE', lock, ARGV[2])
    local job = read_job(id, number(ARGV[3]))
    if job and job.started then
      for field = 1, #job[1], 2 do -- as before the poll, which counted this run
        if job[1][field] == 'ats' then job[1][field + 1] = string.format('%.0f', number(job.started) - 1) end
      end
    end
    if job then reclaimed[#reclaimed + 1] = {id, token, job[1], job[2]} end
  end
end
return reclaimed
