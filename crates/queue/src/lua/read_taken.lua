-- Reads a job that a worker has, as a poll reads it before it counts the run.
local function read_taken(id, longest)
  local job = read_job(id, longest)
  for at = 1, job and job.started and #job[2] or 0, 2 do
    if job[2][at] == 'ats' then job[2][at + 1] = string.format('%.0f', math.max(number(job.started) - 1, 0)) end
  end
  return job
end

