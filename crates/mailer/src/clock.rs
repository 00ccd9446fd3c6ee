//! The system clock.

use std::time::SystemTime;

use examhall_core::Timestamp;

/// Returns the time in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::from(SystemTime::now()).as_millis()
}
