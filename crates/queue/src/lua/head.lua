-- Shared by all scripts. KEYS[1] is the queue's meta hash; every other key of the queue has its prefix.
-- Redis does not roll back what a failed script has written. So scripts look before they write (`types.lua`), and those
-- that have no time for it `try` what can fail, and take back what belongs to it.
local P = string.sub(KEYS[1], 1, -5)
local EVENTS = P .. 'events'
local ALL_OF_MS = 4096 -- the lower 12 bits of scores in `delayed` keep the order within one millisecond
local PRIORITY_STEP = 4294967296 -- scores of `prioritized` keep the order within one priority below this
local MAX_SAFE = 9007199254740991 -- a double holds every integer up to this

-- Returns the number that a text stands for, within what a double holds exactly, or 0 if that is none.
local function number(text)
  local value = tonumber(text or 0)
  if not value or value ~= value then return 0 end
  return value > MAX_SAFE and MAX_SAFE or value < -MAX_SAFE and -MAX_SAFE or value
end

-- Writes an event. Jobs go on without events if the stream's key has another type.
local function event(name, ...)
  redis.pcall('XADD', EVENTS, '*', 'event', name, ...)
end

-- Runs a command that fails if a key has another type than BullMQ's: then returns nil, and keeps why.
local failure = ''
local function try(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  failure = key .. ': ' .. answer.err
end

