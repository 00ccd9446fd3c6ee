-- Reads whether the queue has as many active jobs as its global concurrency allows.
-- KEYS[1] meta
-- Returns 1 if it has
local most = redis.call('HGET', KEYS[1], 'concurrency')
return most and redis.call('LLEN', P .. 'active') >= number(most) and 1 or 0
