-- Frees a deduplication id with its job: when the job ends, unless the id has a time to live, or when it is removed, and
-- with it what was kept for its end.
local function free_deduplication_id(deduplication_id, id, is_removed)
  local key = P .. 'de:' .. deduplication_id
  if redis.pcall('GET', key) == id and (is_removed or redis.call('PTTL', key) <= 0) then
    redis.call('DEL', key)
    if is_removed then redis.call('DEL', P .. 'dn:' .. deduplication_id) end
  end
end

-- Frees the deduplication id of a job that is removed.
local function free_deduplication_id_of(id)
  local deduplication_id = redis.pcall('HGET', P .. id, 'deid')
  if type(deduplication_id) == 'string' then free_deduplication_id(deduplication_id, id, true) end
end

