-- Reads whether the queue has as many active jobs as its global concurrency allows.
-- KEYS[1] meta
-- Returns 1 if it has
local most = tonumber(redis.call('HGET', KEYS[1], 'concurrency') or nil)
return most and redis.call('LLEN', P .. 'active') >= most and 1 or 0
