-- Removes a job with its children.
-- KEYS[1] meta
-- ARGV    id
-- Returns {code, name of the key that holds the id or ''}
local id = ARGV[1]
if redis.call('EXISTS', P .. id .. ':lock') == 1 then return {WRONG_STATE, 'active'} end
local place = place_of(id)
if not place and not is_job(id) then return {NOT_FOUND, ''} end
if is_next_of_scheduler(id) then return {FOREIGN, ''} end

-- All jobs of the tree, children after their parents; none must be locked.
local tree, seen, at = {{key = P .. id, prefix = P, id = id}}, {[P .. id] = true}, 1
while tree[at] do
  if redis.call('EXISTS', tree[at].key .. ':lock') == 1 then return {PENDING_CHILDREN, ''} end
  for _, child in ipairs(children_of(tree[at].key)) do
    if not seen[child] then
      seen[child] = true
      local prefix, child_id = split_key(child)
      tree[#tree + 1] = {key = child, prefix = prefix, id = child_id}
    end
  end
  at = at + 1
end
for i = #tree, 1, -1 do
  local job = tree[i]
  within(job.prefix, function()
    local from = place_of(job.id)
    if from then leave(job.id, from) end
    local exists = redis.call('EXISTS', job.key) == 1
    transitions.discard(job.id)
    if exists then event('removed', 'jobId', job.id, 'prev', from or 'unknown') end
    trim_events()
  end)
end
return {DONE, ''}
