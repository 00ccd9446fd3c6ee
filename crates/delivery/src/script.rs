//! The Lua scripts.

use std::time::Duration;

use examhall_redis::Script;

/// They run well under 10 ms.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) static BEAT: Script = Script::new(include_str!("lua/beat.lua"), TIMEOUT);
pub(crate) static BRAKE: Script = Script::new(include_str!("lua/brake.lua"), TIMEOUT);
pub(crate) static FAILURES: Script = Script::new(include_str!("lua/failures.lua"), TIMEOUT);
pub(crate) static FAILURES_FORGET: Script = Script::new(include_str!("lua/failures_forget.lua"), TIMEOUT);
pub(crate) static FAILURE_GROUPS: Script = Script::new(include_str!("lua/failure_groups.lua"), TIMEOUT);
pub(crate) static FLEET: Script = Script::new(include_str!("lua/fleet.lua"), TIMEOUT);
pub(crate) static HISTORY: Script = Script::new(include_str!("lua/history.lua"), TIMEOUT);
pub(crate) static HOLD: Script = Script::new(include_str!("lua/hold.lua"), TIMEOUT);
pub(crate) static LEASE: Script = Script::new(include_str!("lua/lease.lua"), TIMEOUT);
pub(crate) static LEDGER: Script = Script::new(include_str!("lua/ledger.lua"), TIMEOUT);
pub(crate) static LIMIT: Script = Script::new(include_str!("lua/limit.lua"), TIMEOUT);
pub(crate) static LIMIT_BACK: Script = Script::new(include_str!("lua/limit_back.lua"), TIMEOUT);
pub(crate) static LIMITS: Script = Script::new(include_str!("lua/limits.lua"), TIMEOUT);
pub(crate) static STRIKE: Script = Script::new(include_str!("lua/strike.lua"), TIMEOUT);
pub(crate) static SUPPRESS: Script = Script::new(include_str!("lua/suppress.lua"), TIMEOUT);
