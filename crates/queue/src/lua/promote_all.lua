-- Makes the first delayed jobs ready now.
-- KEYS[1] meta
-- ARGV    number of jobs
-- Returns {number of promoted jobs, 0, 1 if there may be more}
local ids = redis.call('ZRANGE', P .. 'delayed', 0, number(ARGV[1]) - 1)
if #ids == 0 then return {0, 0, 0} end
redis.call('ZREM', P .. 'delayed', unpack(ids))
for _, id in ipairs(ids) do end_delay(id) end
publish()
return {#ids, 0, #ids == number(ARGV[1]) and 1 or 0}
