-- Reads what the end of a job's run needs.
-- KEYS[1] meta
-- ARGV    id, token
-- Returns {id, token, fields without the data, 0}
local job = read_job(ARGV[1], -1)
return {ARGV[1], ARGV[2], job and job[1] or {}, 0}
