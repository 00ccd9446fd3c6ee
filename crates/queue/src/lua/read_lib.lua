-- Reads a job for a worker. Returns its id, its fields as Redis lists them, and the length of its data if that has more than
-- `longest` bytes and is left out, else 0; and what the caller needs: bytes, attempts started, deferred failure. Other fields
-- of more than LONGEST bytes are left out too. Returns nothing if the id is no job's.
local function read_job(id, longest)
  local fields = redis.pcall('HGETALL', P .. id)
  if fields.err then return end
  local bytes, unread, is_job = 0, 0, false
  local started, deferred
  for at = 1, #fields, 2 do
    local name, value = fields[at], fields[at + 1]
    bytes = bytes + #value
    if name == 'data' then
      is_job = true
      if #value > longest then
        unread = #value
        fields[at + 1] = ''
      end
    elseif #value > LONGEST then
      bytes = bytes - #value
      fields[at + 1] = ''
    elseif name == 'name' or name == 'opts' or name == 'timestamp' then is_job = true
    elseif name == 'ats' then started = value
    elseif name == 'defa' then deferred = value end
  end
  if is_job then return {id, fields, unread, bytes = bytes - unread, started = started, deferred = deferred} end
end

