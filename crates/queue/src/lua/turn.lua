-- One turn of a worker: reports what became of jobs it had, then takes new ones.
-- KEYS[1] meta
-- ARGV    now in ms, lock in ms, worker name or '', token of what is taken, jobs wanted, longest data in bytes, then for
--         each report: id, token, outcome, attempts made, deduplication id or '', and three arguments of that outcome:
--         those of `completed` are returnvalue as JSON and `count age`, for the others see outcomes.lua
-- Returns {a code for each report, {{id, token, fields, 0 or the length of data too long to be read} for each job taken},
--          when the next delayed job is due or 0, how long the rate limit lasts or 0, jobs that are active now,
--          ids that stood for jobs whose hashes are gone}
-- Codes   0 done; -1 no such job; -2 the lock is gone; -3 not active; -6 somebody else has the lock
local HEAD, WIDTH = 6, 8
local NO_MORE = 9007199254740991 -- BullMQ's rate-limit count that no limit is above
local now = number(ARGV[1])
local meta = redis.call('HMGET', KEYS[1], 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
local paused, concurrency = meta[1], meta[2]
local kept = {completed = {}, failed = {}} -- score, id, score, id, ... of what ended in this turn
local limits = {} -- 'count age' -> which sets they hold for

-- Keeps a finished job in `set` as long as `limit`, `count age`, allows: that many of them, so many seconds; -1 is
-- any number.
local function retain(id, set, limit, ...)
  if string.sub(limit, 1, 2) == '0 ' then return forget(id) end
  local finished = kept[set]
  finished[#finished + 1] = ARGV[1]
  finished[#finished + 1] = id
  redis.call('HSET', P .. id, 'finishedOn', ARGV[1], ...)
  if limit ~= '-1 -1' then limits[set .. ' ' .. limit] = set end
end

