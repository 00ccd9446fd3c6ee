-- Returns the generations of a value's groups, in the form in which a value names those under which it was loaded. One is
-- missing if its group was invalidated, or Redis has lost it: then it is '', which no value names, or `new` if that is given.
-- keys    value, lease, marks, then generation and marks of each group
local function generations(keys, new)
  local current = {}
  for n = 4, #keys, 2 do
    local generation = redis.pcall('GET', keys[n])
    if type(generation) ~= 'string' then generation = '' end
    if generation == '' and new then
      generation = new
      redis.call('SET', keys[n], new, 'PX', 90000000) -- 25 h; a fill with a longer life prolongs it
    end
    table.insert(current, generation)
  end
  return table.concat(current, ',')
end

-- Returns whether one of a value's groups was invalidated since the value was loaded.
local function is_outdated(value, keys)
  if #keys < 4 then return false end
  local loaded_under = string.match(value, '^%d+ %d+ %d+ %S* (%S*) ') -- the fifth word; another release may have none
  return loaded_under ~= nil and loaded_under ~= generations(keys)
end
