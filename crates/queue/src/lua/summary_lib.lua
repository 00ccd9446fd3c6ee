-- Reads the fields of a job that lists show, and named fields of its data. Data that is larger than `LARGEST` is not read:
-- it may have many megabytes.
local SHOWN = {
  'name', 'priority', 'timestamp', 'atm', 'ats', 'stc', 'pb', 'processedOn', 'finishedOn', 'retriedOn', 'opts', 'failedReason', 'returnvalue',
}
local LONGEST_FIELD = 8192 -- in bytes; what is longer is left out, but for the reason, which is cut off
local budget = 524288 -- bytes of data to read in one call: Redis does nothing else meanwhile

-- Returns the text of a job's data, nil if it is too large, and its size in bytes.
local function text_of(key)
  local size = try('HSTRLEN', key, 'data') or 0
  if size == 0 or size > LARGEST then return nil, size end
  budget = budget - size
  return redis.call('HGET', key, 'data'), size
end

-- Returns the table that a text stands for, if it is a JSON object.
local function to_table(text)
  local is_read, data = pcall(cjson.decode, text)
  return is_read and type(data) == 'table' and data or nil
end

-- Returns {id, state's key, when it is due or 0, size of the data, picked fields as a JSON object or '', {field, value, ...}}, or
-- nil if there is no such job.
local function summary(id, place, due, pick, data, size)
  local key = P .. id
  local values = try('HMGET', key, unpack(SHOWN))
  if not values or not (values[1] or values[3]) then return nil end
  local fields = {}
  for at, name in ipairs(SHOWN) do
    local value = values[at]
    if value and #value > LONGEST_FIELD then value = name == 'failedReason' and string.sub(value, 1, LONGEST_FIELD) end
    if value then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  if #pick > 0 and not data then
    local text
    text, size = text_of(key)
    data = text and to_table(text)
  end
  local picked = ''
  if data then
    local some = {}
    for _, name in ipairs(pick) do some[name] = data[name] end
    local is_written, text = pcall(cjson.encode, some)
    picked = is_written and text or ''
  end
  return {id, place, due, size or try('HSTRLEN', key, 'data') or 0, picked, fields}
end
