-- Removes the children of a job that have not started, and theirs.
-- KEYS[1] meta
-- ARGV    id
-- Returns the number of removed jobs
local removed, seen = 0, {}
local function remove_children(key)
  for _, child in ipairs(redis.call('SMEMBERS', key .. ':dependencies')) do
    local prefix, id = split_key(child)
    if not seen[child] then
      seen[child] = true
      within(prefix, function()
        if redis.call('EXISTS', child .. ':lock') == 1 or redis.call('ZSCORE', P .. 'failed', id) then return end
        remove_children(child)
        local from = place_of(id)
        if from then leave(id, from) end
        if redis.call('EXISTS', child) == 1 then
          removed = removed + 1
          transitions.discard(id)
          event('removed', 'jobId', id, 'prev', from or 'unknown')
          trim_events()
        end
      end)
    end
  end
end
remove_children(P .. ARGV[1])
return removed
