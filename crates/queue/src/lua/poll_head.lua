-- One poll of a worker: reports how its runs ended, then takes new jobs.
-- KEYS[1] meta
-- ARGV    now in ms, lock in ms, worker name or '', token for the taken jobs, number of jobs wanted, longest data in
--         bytes, then for each report: id, token, outcome, attempts made, deduplication id or '', and three arguments
--         of the outcome: those of `completed` are returnvalue as JSON and `count age`, for the others see outcomes.lua
-- Returns {code of each report, {id, token, fields, 0 or the length of data too long to be read} of each taken job,
--          when the next delayed job is due or 0, how long the rate limit lasts or 0, number of active jobs,
--          ids of jobs whose hashes are gone}
local HEAD, WIDTH = 6, 8
local NO_MORE = 9007199254740991 -- BullMQ's rate-limit count that is above every limit
local now = number(ARGV[1])
local meta = redis.call('HMGET', KEYS[1], 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
local paused, concurrency = meta[1], meta[2]
local kept = {completed = {}, failed = {}} -- score, id, score, id, ... of jobs that ended in this poll
local limits = {} -- 'set count age' -> set

-- Keeps a finished job in `set` within `limit`, which is `count age`: among the newest `count` jobs, for `age` seconds;
-- -1 is no limit.
local function retain(id, set, limit, ...)
  if string.sub(limit, 1, 2) == '0 ' then return forget(id) end
  local finished = kept[set]
  finished[#finished + 1] = ARGV[1]
  finished[#finished + 1] = id
  redis.call('HSET', P .. id, 'finishedOn', ARGV[1], ...)
  if limit ~= '-1 -1' then limits[set .. ' ' .. limit] = set end
end

