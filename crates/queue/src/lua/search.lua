-- Searches jobs of one state, newest first, a limited number at a time.
-- KEYS[1] meta
-- ARGV    what to search for, as a JSON object:
--           place: name of the state's key; from: score to begin at, or ''; skip: number of jobs to skip from there;
--           wanted: most jobs to return; most: most jobs to look at; pick: fields of the data to return;
--           after, before: bounds of the time of adding, in ms; until: latest time at which it ended or was added;
--           reason: text that the reason begins with;
--           terms: each {any: texts in lower case, one of which must be found, or be the whole if `whole`;
--             fields: fields of the data to look into; reason: whether to look into the reason, too; absent: whether a job
--             with none of the fields is wanted; plain: whether JSON writes its texts as they are}
-- Returns {score to go on from or '', number to skip from there, 1 if there may be more, number looked at, number whose data was
-- too large to be looked into, summaries}
local ask = cjson.decode(ARGV[1])
local key, is_list = P .. ask.place, ask.place == 'wait' or ask.place == 'paused' or ask.place == 'active'

local function holds(term, text)
  for _, part in ipairs(term.any) do
    if term.whole and text == part or not term.whole and string.find(text, part, 1, true) then return true end
  end
  return false
end

local function is_part(term, text)
  for _, part in ipairs(term.any) do
    if string.find(text, part, 1, true) then return true end
  end
  return false
end

-- Returns whether a value of JSON, or one within it, holds a part.
local function is_in(term, value)
  if type(value) == 'string' then return holds(term, string.lower(value)) end
  if type(value) ~= 'table' then return false end
  for _, inner in pairs(value) do
    if is_in(term, inner) then return true end
  end
  return false
end

local function is_in_data(term, data)
  local is_absent = true
  for _, field in ipairs(term.fields) do
    local value = data[field]
    if value ~= nil and value ~= cjson.null and value ~= '' then
      is_absent = false
      if is_in(term, value) then return true end
    end
  end
  return is_absent and term.absent or false
end

local needs_data = false
for _, term in ipairs(ask.terms) do needs_data = needs_data or #term.fields > 0 end
local needs_head = #ask.terms > 0 or ask.after or ask.before or ask['until'] or ask.reason

-- Returns whether a job's own fields let it pass, and for each term whether it is met by the reason.
local function of_head(id)
  if not needs_head then return true, {} end
  local head = try('HMGET', P .. id, 'timestamp', 'finishedOn', 'failedReason')
  if not head or not head[1] then return false end
  local added, reason = number(head[1]), head[3] or ''
  if ask.after and added < ask.after or ask.before and added >= ask.before then return false end
  if ask['until'] and (head[2] and number(head[2]) or added) > ask['until'] then return false end
  if ask.reason and string.sub(reason, 1, #ask.reason) ~= ask.reason then return false end
  local met = {}
  for at, term in ipairs(ask.terms) do
    met[at] = term.reason and holds(term, string.lower(reason)) or false
    if not met[at] and #term.fields == 0 then return false end
  end
  return true, met
end

local unread = 0
-- Returns whether a job is wanted, its data and the data's size, if that was read.
local function is_wanted(id)
  local passes, met = of_head(id)
  if not passes or not needs_data then return passes end
  local open = {}
  for at, term in ipairs(ask.terms) do
    if not met[at] then open[#open + 1] = term end
  end
  if #open == 0 then return true end
  local text, size = text_of(P .. id)
  if not text then
    if size > LARGEST then unread = unread + 1 end
    return false
  end
  local lower = string.lower(text)
  for _, term in ipairs(open) do -- finding text is much faster than reading JSON
    if term.plain and not term.absent and not is_part(term, lower) then return false end
  end
  local data = to_table(text)
  for _, term in ipairs(open) do
    if not data or not is_in_data(term, data) then return false end
  end
  return true, data, size
end

local ids, scores = {}, {}
if is_list then
  ids = redis.call('LRANGE', key, ask.skip, ask.skip + ask.most - 1)
else
  local from = ask.from == '' and '+inf' or ask.from
  local found = redis.call('ZREVRANGEBYSCORE', key, from, '-inf', 'WITHSCORES', 'LIMIT', ask.skip, ask.most)
  for at = 1, #found, 2 do
    ids[#ids + 1], scores[#scores + 1] = found[at], found[at + 1]
  end
end

local jobs, looked_at, from, skip = {}, 0, ask.from, ask.skip
for at, id in ipairs(ids) do
  if #jobs >= ask.wanted or budget < 0 then break end
  looked_at = looked_at + 1
  if is_list then
    skip = skip + 1
  else
    skip = scores[at] == from and skip + 1 or 1
    from = scores[at]
  end
  local wanted, data, size = is_wanted(id)
  if wanted then
    local due = ask.place == 'delayed' and math.floor(tonumber(scores[at]) / ALL_OF_MS) or 0
    jobs[#jobs + 1] = summary(id, ask.place, due, ask.pick, data, size)
  end
end
local has_more = looked_at < #ids or #ids == ask.most
return {from, skip, has_more and 1 or 0, looked_at, unread, jobs}
