-- Writes an entry of the ledger, KEYS[1], unless the job's effect is known to have happened.
-- ARGV    the entry as JSON; for how many seconds it is kept; when the job was added, where its id may name another one
--         later, or ''
-- Returns 1 where it was written, else 0.
local known = redis.call('GET', KEYS[1])
if known then
  local readable, entry = pcall(cjson.decode, known)
  if readable and type(entry) == 'table' and entry.state == 'accepted' then
    local is_other = entry.jobTimestamp and ARGV[3] ~= '' and entry.jobTimestamp ~= tonumber(ARGV[3])
    if not is_other then return 0 end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
