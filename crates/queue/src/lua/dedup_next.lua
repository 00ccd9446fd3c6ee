-- Ends a deduplication with its job: frees the id, and adds the job that was kept until then (BullMQ's `keepLastIfActive`,
-- which keeps the last of those that were dropped while the job was active).
local function end_deduplication(deduplication_id, id)
  free_deduplication_id(deduplication_id, id)
  local key = P .. 'dn:' .. deduplication_id
  local kept = redis.pcall('HMGET', key, 'name', 'data', 'opts', 'jid', 'pk', 'pd', 'pdk', 'rjk')
  if kept.err or not kept[1] then return end
  redis.call('DEL', key)
  local is_json, opts = pcall(cjson.decode, kept[3] or '')
  if not is_json or type(opts) ~= 'table' then opts = {} end
  local deduplication = type(opts.de) == 'table' and opts.de or {}
  local counter = try('INCR', P .. 'id')
  local new = kept[4] or counter and integer(counter)
  if not new then return end
  if is_job(new) then return event('duplicated', 'jobId', new) end
  local delay, priority = math.max(number(opts.delay), 0), math.max(number(opts.priority), 0)
  if not try('HSET', P .. new, 'name', kept[1], 'data', kept[2] or '{}', 'opts', is_json and kept[3] or '{}', 'timestamp',
    ARGV[1], 'delay', integer(delay), 'priority', integer(priority), 'deid', deduplication_id) then return end
  if kept[5] then redis.call('HSET', P .. new, 'parentKey', kept[5], 'parent', kept[6] or '{}') end
  if kept[8] then redis.call('HSET', P .. new, 'rjk', kept[8]) end
  if kept[7] then try('SADD', kept[7], P .. new) end
  local ttl = math.floor(number(deduplication.ttl))
  local lasts = ttl > 0 and deduplication.keepLastIfActive ~= true
  redis.call('SET', P .. 'de:' .. deduplication_id, new, unpack(lasts and {'PX', integer(ttl)} or {}))
  event('added', 'jobId', new, 'name', kept[1])
  if delay > 0 then
    enter(new, 'delayed', '', poll.now + delay)
    announce_next_due()
  else
    make_ready(new, math.min(math.floor(priority), 2097151), priority == 0 and opts.lifo == true and 'lifo' or nil)
    event('waiting', 'jobId', new)
    wake_up()
  end
end

