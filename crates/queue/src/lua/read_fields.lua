-- Reads what the end of a job's run needs.
-- KEYS[1] meta
-- ARGV    id
-- Returns {id, fields without the data, 0}
return read_taken(ARGV[1], -1) or {ARGV[1], {}, 0}
