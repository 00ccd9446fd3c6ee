-- One poll of a worker: reports how its runs ended, then takes new jobs. It is in parts: this head, which says what they
-- share, `lazily` with what a poll seldom needs (each command and each function made costs about 1 us, and a poll for one
-- job has a budget of 40 us), the reports, and the taking.
-- KEYS[1] meta
-- ARGV    now in ms, lock in ms, worker name or '', token for the taken jobs, number of jobs wanted, longest data in
--         bytes, '' or minutes to keep in the metrics or 0, and the worker's rate limit, jobs per ms, or 0 0;
--         then for each report: id, token, outcome, attempts made, deduplication id or '', and three arguments
--         of the outcome: those of `completed` are returnvalue as JSON and `count age most`, for the others see outcomes.lua
-- Returns {code of each report, {id, token, fields, 0 or the length of data too long to be read} of each taken job,
--          when the next delayed job is due or 0, how long the rate limit lasts or 0, number of active jobs,
--          ids that were dropped since they are no job's, 1 if there may be more jobs to take, a command's error or ''}
local HEAD, WIDTH = 7, 8
local NO_MORE = MAX_SAFE -- BullMQ's rate-limit count that is above every limit
local poll = {
  now = number(ARGV[1]),
  reports = (#ARGV - HEAD) / WIDTH,
  codes = {}, -- of the reports
  kept = {completed = {}, failed = {}}, -- score, id, score, id, ... of those of them that are kept
  limits = {}, -- 'set count age most' -> set
  gone = {},
}

if ARGV[7] ~= '' then
  local points, max, duration = string.match(ARGV[7], '^(%d+) (%d+) (%d+)$')
  if points ~= '0' then poll.points = number(points) end
  -- As in BullMQ, the queue's number of jobs counts, but the worker's period.
  if max ~= '0' then Q.max, Q.duration = Q.max or number(max), number(duration) end
end

-- Keeps a finished job in `set` within `limit`, which is `count age most`: among the newest `count` jobs, for `age` seconds;
-- -1 is no limit. `most` is how many old ones a poll removes.
local function retain(id, set, limit, ...)
  poll.has_ended = true
  if string.sub(limit, 1, 2) == '0 ' then return forget(id) end
  if not try('HSET', P .. id, 'finishedOn', ARGV[1], ...) then return end
  local finished = poll.kept[set]
  finished[#finished + 1] = ARGV[1]
  finished[#finished + 1] = id
  if string.sub(limit, 1, 6) ~= '-1 -1 ' then poll.limits[set .. ' ' .. limit] = set end
end

