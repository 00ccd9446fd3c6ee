-- One poll of a worker: reports how its runs ended, then takes new jobs. It is in parts: this head, which says what they
-- share, `lazily` with what a poll seldom needs (each command and each function made costs about 1 us, and a poll for one
-- job has a budget of 40 us), the reports, and the taking.
-- KEYS[1] meta
-- ARGV    now in ms, lock in ms, worker name or '', token for the taken jobs, number of jobs wanted, longest data in
--         bytes, then for each report: id, token, outcome, attempts made, deduplication id or '', and three arguments
--         of the outcome: those of `completed` are returnvalue as JSON and `count age`, for the others see outcomes.lua
-- Returns {code of each report, {id, token, fields, 0 or the length of data too long to be read} of each taken job,
--          when the next delayed job is due or 0, how long the rate limit lasts or 0, number of active jobs,
--          ids that were dropped since they are no job's, 1 if there may be more jobs to take, a command's error or ''}
local HEAD, WIDTH = 6, 8
local NO_MORE = MAX_SAFE -- BullMQ's rate-limit count that is above every limit
local poll = {
  now = number(ARGV[1]),
  reports = (#ARGV - HEAD) / WIDTH,
  codes = {}, -- of the reports
  kept = {completed = {}, failed = {}}, -- score, id, score, id, ... of those of them that are kept
  limits = {}, -- 'set count age' -> set
  gone = {},
}

-- Keeps a finished job in `set` within `limit`, which is `count age`: among the newest `count` jobs, for `age` seconds;
-- -1 is no limit.
local function retain(id, set, limit, ...)
  if string.sub(limit, 1, 2) == '0 ' then return forget(id) end
  if not try('HSET', P .. id, 'finishedOn', ARGV[1], ...) then return end
  local finished = poll.kept[set]
  finished[#finished + 1] = ARGV[1]
  finished[#finished + 1] = id
  if limit ~= '-1 -1' then poll.limits[set .. ' ' .. limit] = set end
end

