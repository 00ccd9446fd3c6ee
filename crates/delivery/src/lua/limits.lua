-- Takes from several shared limits at once, or from none. KEYS[1] holds the waits that are shown: by limit, until when, in
-- microseconds. Each further key is a hash, one limit:
--   even   `full`: when its bucket will be full again (generic cell rate algorithm), in microseconds
--   window the number taken in each sixtieth of a period, by its number: at most `count` in any period of that length
--   both   `line`: the turn of the last one that was sent away, in microseconds
-- ARGV    1 where nobody waits for a turn of its own, else 0; then for each limit: count, period in microseconds, burst (0: a
--         window), how many are taken, 1 where those that are sent away get a turn each, and a label
-- Returns for each limit how many microseconds to wait; all are 0 where everything was taken.
local parts, noted_from = 60, 2000000
local time = redis.call('TIME') -- Redis's clock: the same for every process
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local at_once = ARGV[1] == '1'
local function text(number) return string.format('%.0f', number) end

local limits, is_free = {}, true
for n = 2, #KEYS do
  local at = (n - 2) * 6 + 1
  local limit = {key = KEYS[n], count = tonumber(ARGV[at + 1]), period = tonumber(ARGV[at + 2]),
    burst = tonumber(ARGV[at + 3]), cost = tonumber(ARGV[at + 4]), queues = ARGV[at + 5] == '1', label = ARGV[at + 6],
    wait = 0}
  limit.interval = limit.period / limit.count
  limit.cost = math.min(limit.cost, limit.count)
  if limit.burst > 0 then
    local full = math.max(tonumber(redis.call('HGET', limit.key, 'full') or 0), now)
    limit.wait = math.max(full - (limit.burst - 1) * limit.interval - now, 0)
    limit.full = full + limit.cost * limit.interval
  else
    local width, used, live, stored = limit.period / parts, 0, {}, redis.call('HGETALL', limit.key)
    limit.part, limit.old = math.floor(now / width), {}
    for i = 1, #stored, 2 do
      local part, taken = tonumber(stored[i]), tonumber(stored[i + 1])
      if part and (part + 1) * width + limit.period > now then
        used = used + taken
        live[#live + 1] = {part = part, taken = taken}
      elseif part then
        limit.old[#limit.old + 1] = stored[i]
      end
    end
    local excess = used + limit.cost - limit.count
    table.sort(live, function(a, b) return a.part < b.part end)
    for _, one in ipairs(live) do
      if excess <= 0 then break end
      excess = excess - one.taken
      limit.wait = (one.part + 1) * width + limit.period - now
    end
  end
  if limit.wait > 0 then is_free = false end
  limits[#limits + 1] = limit
end

local waits = {}
for _, limit in ipairs(limits) do
  if is_free and limit.burst > 0 then
    redis.call('HSET', limit.key, 'full', text(limit.full))
    redis.call('PEXPIRE', limit.key, text(math.ceil((limit.full - now) / 1000) + 1))
  elseif is_free then
    if #limit.old > 0 then redis.call('HDEL', limit.key, unpack(limit.old)) end
    redis.call('HINCRBY', limit.key, text(limit.part), limit.cost)
    redis.call('PEXPIRE', limit.key, text(math.ceil(limit.period * (1 + 1 / parts) / 1000) + 1))
  elseif limit.wait > 0 then
    if limit.queues and not at_once then
      local line = tonumber(redis.call('HGET', limit.key, 'line') or 0)
      local turn = math.max(line + limit.interval, now + limit.wait)
      redis.call('HSET', limit.key, 'line', text(turn))
      limit.wait = turn - now
      local left = math.ceil(limit.wait / 1000) + 1
      if redis.call('PTTL', limit.key) < left then redis.call('PEXPIRE', limit.key, text(left)) end
    end
    if limit.wait >= noted_from then
      redis.call('HSET', KEYS[1], limit.label, text(now + limit.wait))
      local left = math.ceil(limit.wait / 1000) + 1
      if redis.call('PTTL', KEYS[1]) < left then redis.call('PEXPIRE', KEYS[1], text(left)) end
    end
  end
  waits[#waits + 1] = math.ceil(limit.wait)
end
return waits
