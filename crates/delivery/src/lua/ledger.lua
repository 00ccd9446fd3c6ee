-- Writes an entry of the ledger, KEYS[1], where ARGV[3] still stands there; '' stands for nothing.
-- ARGV    the entry; for how many seconds it is kept; what must stand there
-- Returns 1 where it was written, else 0.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
