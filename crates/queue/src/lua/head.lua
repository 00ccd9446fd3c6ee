-- What every script knows. KEYS[1] is the queue's meta hash; every other key of the queue has its prefix.
-- Redis takes back nothing that a failed script has written: scripts check before they write.
local P = string.sub(KEYS[1], 1, -5)
local EVENTS = P .. 'events'
local ALL_OF_MS = 4096 -- scores of `delayed` keep the order within one millisecond in their lower 12 bits
local PRIORITY_STEP = 4294967296 -- scores of `prioritized` keep the order within one priority below this

local function number(text)
  return tonumber(text or 0) or 0
end

local function event(name, ...)
  redis.call('XADD', EVENTS, '*', 'event', name, ...)
end

