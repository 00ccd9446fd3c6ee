-- Keeps finished jobs, or removes them, as a limit says.
local kept = {completed = {}, failed = {}} -- score, id, score, id, ...
local function retain(id, set, limit, ...)
  poll.has_ended = true
  if limit == '0' then return forget(id) end
  if not try('HSET', P .. id, 'finishedOn', ARGV[1], ...) then return end
  local finished = kept[set]
  finished[#finished + 1] = ARGV[1]
  finished[#finished + 1] = id
  if limit ~= '' then
    poll.limits = poll.limits or {}
    poll.limits[set .. ',' .. limit] = set
  end
end

