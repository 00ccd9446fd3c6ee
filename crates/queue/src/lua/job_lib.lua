-- Shared by scripts that end or remove jobs. Returns 0 if there was none.
local function forget(id)
  local key = P .. id
  return redis.call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed',
    key .. ':unsuccessful')
end

