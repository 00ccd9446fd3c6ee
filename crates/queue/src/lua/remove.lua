-- Removes a job.
-- KEYS[1] meta
-- ARGV    id
-- Returns 1; 0 where there is no such job; -1 where a worker has it; -8 where BullMQ must do that
local id = ARGV[1]
if redis.call('EXISTS', P .. id .. ':lock') == 1 then return -1 end
local place = place_of(id)
if not place and redis.call('EXISTS', P .. id) == 0 then return 0 end
if is_foreign(id) then return -8 end
if place then take_from(place, id) end
local deduplication_id = redis.call('HGET', P .. id, 'deid')
if deduplication_id then free_deduplication_id(deduplication_id, id, true) end
forget(id)
event('removed', 'jobId', id, 'prev', place or 'unknown')
trim_events(redis.call('HGET', KEYS[1], 'opts.maxLenEvents'))
return 1
