-- Removes a job.
-- KEYS[1] meta
-- ARGV    id
-- Returns {code, name of the key that holds the id or ''}
local id = ARGV[1]
if redis.call('EXISTS', P .. id .. ':lock') == 1 then return {WRONG_STATE, 'active'} end
local place = place_of(id)
if not place and not is_job(id) then return {NOT_FOUND, ''} end
if is_next_of_scheduler(id) or is_foreign(id) then return {FOREIGN, ''} end
if place then leave(id, place) end
transitions.discard(id)
event('removed', 'jobId', id, 'prev', place or 'unknown')
trim_events()
return {DONE, ''}
