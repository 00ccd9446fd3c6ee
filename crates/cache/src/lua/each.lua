-- Acquires many keys. The function `acquire` is acquire.lua.
-- KEYS    value, lease, marks of each key
-- ARGV    lease in ms, length from which a value is large, then a token for each key
-- Returns the answer for each key; {0} if Redis refuses it, since memory is full: load, and store nothing
local answers = {}
for n = 1, #KEYS / 3 do
  local keys = {KEYS[3 * n - 2], KEYS[3 * n - 1], KEYS[3 * n]}
  local is_answered, answer = pcall(acquire, keys, {ARGV[n + 2], ARGV[1], '-1', ARGV[2]})
  answers[n] = is_answered and answer or {0}
end
return answers
