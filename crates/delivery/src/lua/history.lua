-- Adds counts to a bucket of each of two hashes, KEYS[1] and KEYS[2].
-- ARGV    the counts, numbers with spaces between them; for each hash: the field; for how many ms the hash is kept
local counts = {}
for number in string.gmatch(ARGV[1], '%d+') do counts[#counts + 1] = tonumber(number) end
for n, key in ipairs(KEYS) do
  local field, sums = ARGV[2 * n], {}
  for number in string.gmatch(redis.call('HGET', key, field) or '', '%d+') do sums[#sums + 1] = tonumber(number) end
  for i = 1, math.max(#counts, #sums) do
    sums[i] = string.format('%.0f', (sums[i] or 0) + (counts[i] or 0))
  end
  redis.call('HSET', key, field, table.concat(sums, ' '))
  redis.call('PEXPIRE', key, ARGV[2 * n + 1])
end
return 1
