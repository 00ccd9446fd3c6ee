-- Acquires many keys. The function `acquire` is acquire.lua.
-- KEYS    those of each
-- ARGV    lease in ms, length from which a value is large, then for each key a token, and how many KEYS it has
-- Returns the answer for each key; {0} if Redis refuses it, since memory is full: load, and store nothing
local answers, first = {}, 1
for n = 3, #ARGV, 2 do
  local keys = {}
  for at = first, first + ARGV[n + 1] - 1 do table.insert(keys, KEYS[at]) end
  first = first + ARGV[n + 1]
  local is_answered, answer = pcall(acquire, keys, {ARGV[n], ARGV[1], '-1', ARGV[2]})
  table.insert(answers, is_answered and answer or {0})
end
return answers
