-- Flows. A job with children waits in `waiting-children` until they have ended; it may be in another queue than they are.
-- Its keys have the children that it waits for (`:dependencies`), those that completed with their values (`:processed`),
-- those that failed and that it goes on without (`:failed`), and those that fail it too (`:unsuccessful`). A child's hash
-- names its parent.

-- Calls `act` for another queue, whose keys have this prefix.
local function within(prefix, act)
  if prefix == P then return act() end
  local own_prefix, own_events, own_settings = P, EVENTS, Q
  local meta = redis.call('HMGET', prefix .. 'meta', 'paused', 'opts.maxLenEvents')
  P, EVENTS, Q = prefix, prefix .. 'events', {paused = meta[1], max_events = tonumber(meta[2] or nil) or 10000}
  local result = act()
  P, EVENTS, Q = own_prefix, own_events, own_settings
  return result
end

-- Returns a job's parent, or nil: its key, prefix and id, and what the job's failure means to it.
local function parent_of(id)
  local job = try('HMGET', P .. id, 'parentKey', 'parent')
  if not job or not job[1] or job[1] == '' then return end
  local parent = {key = job[1]}
  local is_json, link = pcall(cjson.decode, job[2] or '')
  if is_json and type(link) == 'table' then
    local prefix, parent_id = tostring(link.queueKey) .. ':', tostring(link.id)
    if prefix .. parent_id == job[1] then parent.prefix, parent.id = prefix, parent_id end
    for _, policy in ipairs({'fpof', 'cpof', 'idof', 'rdof'}) do
      if link[policy] == true and not parent.policy then parent.policy = policy end
    end
  end
  if not parent.id then parent.prefix, parent.id = split_key(job[1]) end
  return parent
end

-- Returns whether the keys of a parent, and of its queue, have their types: a child's end changes them one after the other.
local function is_sound(parent)
  local types = {[''] = 'hash', [':dependencies'] = 'set', [':processed'] = 'hash', [':failed'] = 'hash',
    [':unsuccessful'] = 'zset'}
  for suffix, expected in pairs(types) do
    if not has_type(parent.key .. suffix, expected) then return false end
  end
  for _, name in ipairs({'waiting-children', 'prioritized', 'delayed', 'failed', 'wait', 'paused', 'meta'}) do
    if not has_type(parent.prefix .. name, TYPES[name]) then return false end
  end
  return true
end

-- Makes a parent ready that waits for its children, or if it has a delay, delayed from `now` on. Without `now`, since a
-- child was removed, the delay does not count, as in BullMQ. Returns whether it did.
local function release(parent, now)
  return within(parent.prefix, function()
    if not leave(parent.id, 'waiting-children') then return false end
    local job = redis.call('HMGET', parent.key, 'priority', 'delay')
    local delay = number(job[2])
    if now and delay > 0 then
      enter(parent.id, 'delayed', 'waiting-children', now + delay)
      announce_next_due()
    else
      if delay > 0 then redis.call('HSET', parent.key, 'delay', '0') end
      enter(parent.id, 'ready', 'waiting-children', number(job[1]) == 0 and 'first')
      wake_up()
    end
    trim_events()
    return true
  end)
end

-- Makes a parent ready if it waits for no more children.
local function release_if_done(parent, now)
  if redis.call('SCARD', parent.key .. ':dependencies') == 0 then release(parent, now) end
end

-- Removes a child from those that its parent waits for. Returns whether it was one.
local function leave_parent(parent, child)
  return try('SREM', parent.key .. ':dependencies', child) == 1
end

-- Tells a parent that a child completed.
local function complete_child(parent, child, value, now)
  if not leave_parent(parent, child) then return end
  redis.call('HSET', parent.key .. ':processed', child, value)
  release_if_done(parent, now)
end

-- Lets a parent fail as soon as a worker takes it.
local function doom(parent, reason, now)
  within(parent.prefix, function()
    if redis.call('EXISTS', parent.key) == 0 or redis.call('ZSCORE', P .. 'failed', parent.id) then return end
    redis.call('HSET', parent.key, 'defa', reason)
    if not release(parent, now) and leave(parent.id, 'delayed') then
      redis.call('HSET', parent.key, 'delay', '0')
      enter(parent.id, 'ready', 'waiting-children', 'first')
      wake_up()
    end
  end)
end

-- Tells a parent that a child failed. Without a policy it goes on waiting.
local function fail_child(parent, child, reason, now)
  if not parent.policy or not leave_parent(parent, child) then return end
  if parent.policy == 'fpof' then
    redis.call('ZADD', parent.key .. ':unsuccessful', now, child)
    doom(parent, 'child ' .. child .. ' failed', now)
    return
  end
  if parent.policy ~= 'rdof' then redis.call('HSET', parent.key .. ':failed', child, reason) end
  if parent.policy == 'cpof' then release(parent, now) else release_if_done(parent, now) end
end

-- Tells a parent that a child was removed. If that was the last one, the parent is ready, or with `is_swept`, and if it is
-- in the same queue, it is removed too.
local function lose_child(parent, child, is_swept)
  if not leave_parent(parent, child) or redis.call('SCARD', parent.key .. ':dependencies') > 0 then return end
  if not is_swept or parent.prefix ~= P then
    release(parent)
  elseif leave(parent.id, 'waiting-children') then
    local above = parent_of(parent.id)
    if above then lose_child(above, parent.key, is_swept) end
    free_deduplication_id_of(parent.id)
    forget(parent.id)
  end
end

-- Forgets a job, and tells its parent.
local function forget_child(id, is_swept)
  local parent = parent_of(id)
  forget(id)
  if parent then lose_child(parent, P .. id, is_swept) end
end

-- Puts a child that is retried back among those that its parent waits for.
local function relink(id, prev)
  local parent, child = parent_of(id), P .. id
  if not parent or redis.call('EXISTS', parent.key) == 0 then return end
  local was_linked
  if prev == 'completed' then
    was_linked = redis.call('HDEL', parent.key .. ':processed', child)
  else
    was_linked = redis.call('ZREM', parent.key .. ':unsuccessful', child)
      + redis.call('HDEL', parent.key .. ':failed', child)
  end
  if was_linked > 0 then redis.call('SADD', parent.key .. ':dependencies', child) end
end

-- Returns the keys of all children of a job.
local function children_of(key)
  local children = redis.call('SMEMBERS', key .. ':dependencies')
  for _, ended in ipairs({redis.call('HKEYS', key .. ':processed'), redis.call('HKEYS', key .. ':failed'),
    redis.call('ZRANGE', key .. ':unsuccessful', 0, -1)}) do
    for _, child in ipairs(ended) do children[#children + 1] = child end
  end
  return children
end

