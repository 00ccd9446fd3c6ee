-- Returns which key of the queue has another type than BullMQ's, or ''.
-- KEYS[1] meta
return is_intact() and '' or failure
