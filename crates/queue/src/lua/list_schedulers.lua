-- Reads schedulers.
-- KEYS[1] meta
-- ARGV    id, or '' for several: number to skip, number to return, '1' for those that run last first
-- Returns {id, time of the next job, hash} for each
local ids = {}
if ARGV[1] ~= '' then
  ids = {ARGV[1], redis.call('ZSCORE', P .. 'repeat', ARGV[1])}
  if not ids[2] then return {} end
elseif number(ARGV[3]) > 0 then
  local command = ARGV[4] == '1' and 'ZREVRANGE' or 'ZRANGE'
  ids = redis.call(command, P .. 'repeat', ARGV[2], number(ARGV[2]) + number(ARGV[3]) - 1, 'WITHSCORES')
end
local schedulers = {}
for at = 1, #ids, 2 do
  local hash = redis.call('HGETALL', P .. 'repeat:' .. ids[at])
  if #hash > 0 then schedulers[#schedulers + 1] = {ids[at], string.format('%.0f', ids[at + 1]), hash} end
end
return schedulers
