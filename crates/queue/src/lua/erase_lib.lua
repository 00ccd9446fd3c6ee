-- Deletes a job that has left its state, and frees its deduplication id.
local function erase(id)
  local deduplication_id = redis.call('HGET', P .. id, 'deid')
  if deduplication_id then free_deduplication_id(deduplication_id, id, true) end
  forget(id)
end

