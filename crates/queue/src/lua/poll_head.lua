-- One poll of a worker: reports how its runs ended, then takes new jobs. It is in parts: this head, which says what they
-- share, `lazily` with what a poll seldom needs, the reports, and the taking. A poll for one job has a budget of 35 us:
-- each command costs 0.5 us and more, each table of an answer 0.7 us, each function or other table made 0.1 us, and each
-- number written as text 0.3 us.
-- KEYS[1] meta
-- ARGV    now in ms, lock in ms, token for the taken jobs, number of jobs wanted, '1' to look whether delayed jobs are due,
--         and what few workers have: '', or minutes to keep in the metrics or 0, the worker's rate limit, jobs per ms, or
--         0 0, and its name; the value of `id` when the first of the reported jobs was taken, or '';
--         then for each report: id, token, outcome, attempts made, attempts started, and three arguments of the outcome:
--         those of `completed` are returnvalue as JSON, a limit, deduplication id or ''; for the others see outcomes.lua.
--         A limit is `count,age,most`: keeps the newest `count` jobs, for `age` seconds, and -1 is no limit; `most` is how
--         many old ones a poll removes. Or it is '' to keep all, or 0 to keep none.
-- Returns {when the next delayed job is due or 0, how long the rate limit lasts or 0, number of active jobs, 1 if there may
--          be more jobs to take, a command's error or '', number of ids that were dropped since they are no job's, the
--          value of `id` if there were reports or '', then a code for each report, the taken jobs, and those ids}. A taken job that has never run is name, data, opts,
--          timestamp, delay, priority, id; one with other fields is a list as of read_lib.lua. If the poll has not looked for
--          delayed jobs, it tells when the next one is due only if fewer jobs were taken than wanted.
local HEAD, WIDTH = 7, 8
local CODES = 7 -- place of the codes in the answer
local NO_MORE = MAX_SAFE -- BullMQ's rate-limit count that is above every limit
local answer = {0, 0, 0, 0, '', 0, ''}
local poll = {reports = (#ARGV - HEAD) / WIDTH, name = ''}

if ARGV[6] ~= '' then
  local points, max, duration, name = string.match(ARGV[6], '^(%d+) (%d+) (%d+) (.*)$')
  poll.name = name
  if points ~= '0' then poll.points = number(points) end
  -- As in BullMQ, the queue's number of jobs counts, but the worker's period.
  if max ~= '0' then Q.max, Q.duration = Q.max or number(max), number(duration) end
end

