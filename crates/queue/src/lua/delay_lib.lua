-- Shared by scripts that delay jobs, or ask when the next is due.
-- Returns the time of a score in `delayed`, in ms since 1970.
local function due_of(score)
  return math.floor(math.max(math.min(tonumber(score) / ALL_OF_MS, MAX_SAFE), 0))
end

-- Returns when the earliest delayed job is due, in ms since 1970, or nil.
local function next_due()
  local head = try('ZRANGE', P .. 'delayed', '0', '0', 'WITHSCORES')
  return head and head[2] and due_of(head[2])
end

-- Tells blocked workers when the earliest delayed job is due.
local function announce_next_due()
  local due = next_due()
  if due then redis.pcall('ZADD', P .. 'marker', integer(due), '1') end
end

-- Returns the first score within a millisecond that is behind those in use; nothing if the key has another type.
local function score_at(due)
  local first = due * ALL_OF_MS
  local last = first + ALL_OF_MS - 1
  local taken = try('ZREVRANGEBYSCORE', P .. 'delayed', last, first, 'WITHSCORES', 'LIMIT', 0, 1)
  if not taken then return end
  return taken[2] and math.min(tonumber(taken[2]) + 1, last) or first
end

