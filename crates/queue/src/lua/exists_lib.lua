-- Returns whether there is a job with an id. What is left of a job, such as `delay`, is none.
local function exists(id)
  local job = try('HMGET', P .. id, 'name', 'opts', 'timestamp')
  return job and (job[1] or job[2] or job[3])
end

