-- Ends the script before it writes if a key of the queue has another type than BullMQ's, which would end it halfway.
local function check_types()
  if not is_intact() then error(failure) end
end
check_types()

