-- Takes jobs out of their groups of failed mails. KEYS[1] holds the groups; the other keys begin with it.
-- ARGV    the jobs
for _, job in ipairs(ARGV) do
  local group = redis.call('HGET', KEYS[1] .. ':of', job)
  if group then
    redis.call('HDEL', KEYS[1] .. ':of', job)
    redis.call('ZREM', KEYS[1] .. ':' .. group .. ':jobs', job)
  end
end
return 1
