-- Splits a job's key into its queue's prefix and its id, which may have colons too.
local function split_key(key)
  local at, best = #key, nil
  while true do
    local prefix = string.match(string.sub(key, 1, at), '^(.*:)')
    if not prefix then break end
    if redis.call('EXISTS', prefix .. 'meta') == 1 then
      best = prefix
      break
    end
    best, at = best or prefix, #prefix - 1
  end
  best = best or ''
  return best, string.sub(key, #best + 1)
end

