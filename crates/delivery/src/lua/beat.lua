-- Records the heartbeat of a mailer. KEYS[1] holds the mailers by their last heartbeat, KEYS[2] is the hash of this one,
-- KEYS[3] holds the versions by when they began to run.
-- ARGV    its id; for how many ms the heartbeat counts; its version; then fields and values
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local id, life, version = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local function text(number) return string.format('%.0f', number) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - life))
if not redis.call('ZSCORE', KEYS[1], id) then
  -- A version is deployed when it is not the newest one, and no mailer has it: a restart during a rollout is no deploy.
  local newest = redis.call('ZREVRANGE', KEYS[3], 0, 0)[1]
  local is_new = not newest or string.match(newest, ' (.*)$') ~= version
  for _, other in ipairs(is_new and redis.call('ZRANGE', KEYS[1], 0, 99) or {}) do
    if redis.call('HGET', KEYS[1] .. ':' .. other, 'version') == version then is_new = false end
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now - 1296000000))
  if is_new and redis.call('ZCARD', KEYS[3]) < 200 then
    redis.call('ZADD', KEYS[3], text(now), text(now) .. ' ' .. version)
    redis.call('PEXPIRE', KEYS[3], 1296000000)
  end
end
redis.call('ZADD', KEYS[1], text(now), id)
redis.call('PEXPIRE', KEYS[1], life)
redis.call('HSET', KEYS[2], 'seenAt', text(now), unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[2], life)
return 1
