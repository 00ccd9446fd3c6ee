-- Returns to a worker the jobs that it took by a poll whose answer was lost.
-- KEYS[1] meta
-- ARGV    the worker's part of its tokens, lock in ms, longest data in bytes, then the ids of jobs that it knows of
-- Returns {{id, token, fields, 0 or the length of data too long to be read} of other jobs that the worker has locked, as long
--          as they have together no more bytes than one job may have, 1 if there are more}
local known, reclaimed, bytes, longest = {}, {}, 0, number(ARGV[3])
for at = 4, #ARGV do known[ARGV[at]] = true end
local active = redis.call('LRANGE', P .. 'active', 0, 4999)
for _, id in ipairs(active) do
  local lock = P .. id .. ':lock'
  local token = not known[id] and redis.call('MGET', lock)[1]
  if token and string.match(token, ':([^:]+):%d+$') == ARGV[1] then
    redis.call('PEXPIRE', lock, ARGV[2])
    local job = read_job(id, longest)
    bytes = bytes + (job and job.bytes or 0)
    if bytes > longest and #reclaimed > 0 then return {reclaimed, 1} end
    if job and job.started then
      for field = 1, #job[1], 2 do -- as before the poll, which counted this run
        if job[1][field] == 'ats' then job[1][field + 1] = string.format('%.0f', math.max(number(job.started) - 1, 0)) end
      end
    end
    if job then reclaimed[#reclaimed + 1] = {id, token, job[1], job[2]} end
  end
end
return {reclaimed, 0}
