-- Reads all keys under a prefix as JSON: {name after the prefix = {type, value}}
-- ARGV prefix
local reads = {
  string = function(key) return redis.call('GET', key) end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  set = function(key) return redis.call('SMEMBERS', key) end,
  stream = function(key) return redis.call('XRANGE', key, '-', '+') end,
  zset = function(key)
    local flat, pairs = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), {}
    for at = 1, #flat, 2 do pairs[#pairs + 1] = {flat[at], flat[at + 1]} end
    return pairs
  end,
  hash = function(key)
    local flat, map = redis.call('HGETALL', key), {}
    for at = 1, #flat, 2 do map[flat[at]] = flat[at + 1] end
    return map
  end,
}
local all = {[''] = {type = 'string', value = ''}}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local kind = redis.call('TYPE', key).ok
  all[string.sub(key, #ARGV[1] + 1)] = {type = kind, value = reads[kind](key)}
end
return cjson.encode(all)
