-- Shared by all scripts. KEYS[1] is the queue's meta hash; every other key of the queue has its prefix.
-- Redis does not roll back what a failed script has written, so scripts check before they write.
local P = string.sub(KEYS[1], 1, -5)
local EVENTS = P .. 'events'
local ALL_OF_MS = 4096 -- the lower 12 bits of scores in `delayed` keep the order within one millisecond
local PRIORITY_STEP = 4294967296 -- scores of `prioritized` keep the order within one priority below this

local function number(text)
  return tonumber(text or 0) or 0
end

local function event(name, ...)
  redis.call('XADD', EVENTS, '*', 'event', name, ...)
end

