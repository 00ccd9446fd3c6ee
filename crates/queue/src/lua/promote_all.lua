-- Makes the first delayed jobs ready now.
-- KEYS[1] meta
-- ARGV    number of jobs
-- Returns {number of promoted jobs, 0, 1 if there may be more}
local ids = redis.call('ZRANGE', P .. 'delayed', 0, number(ARGV[1]) - 1)
if #ids == 0 then return {0, 0, 0} end
redis.call('ZREM', P .. 'delayed', unpack(ids))
local promoted = 0
for _, id in ipairs(ids) do
  if transitions.promote(id) then promoted = promoted + 1 end
end
if promoted > 0 then
  wake_up()
  trim_events()
end
return {promoted, 0, #ids == number(ARGV[1]) and 1 or 0}
