-- Shared by scripts that end or remove jobs.
local function forget(id)
  local key = P .. id
  redis.call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed',
    key .. ':unsuccessful')
end

