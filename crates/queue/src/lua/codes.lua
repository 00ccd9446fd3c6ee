-- Result codes, as `code.rs` reads them; down to -10 they are BullMQ's.
local DONE = 0
local MORE = 1
local NOT_FOUND = -1
local LOCK_MISSING = -2
local WRONG_STATE = -3
local PENDING_CHILDREN = -4
local PARENT_MISSING = -5
local LOCK_MISMATCH = -6
local OTHER_PARENT = -7
local FOREIGN = -8
local FAILED_CHILDREN = -9
local TAKEN = -10
local NOT_PAUSED = -20
local NOT_IDLE = -21
local BAD_KEY = -22

