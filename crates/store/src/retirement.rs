//! Replaces the connections of a pool once one of them is found unfit: after a failover all of them lead to the former
//! primary.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sea_orm::{DbErr, sqlx::pool::PoolConnectionMetadata};

use crate::fault::Fault;

/// Connections are replaced at most this often: while the server stays read-only, new ones are as unfit as the old.
const PAUSE: Duration = Duration::from_secs(1);
/// As [`PAUSE`], where new connections are certainly good: statements that were prepared before are out of date.
const SHORT_PAUSE: Duration = Duration::from_millis(50);
/// One outage is logged at most this often.
const LOG_PAUSE: Duration = Duration::from_mins(1);

/// Moment before which connections were made that are not used again. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retirement(Arc<Mutex<Marks>>);

#[derive(Debug, Default)]
struct Marks {
    retired: Option<Instant>,
    logged: Option<Instant>,
}

impl Retirement {
    /// Classifies an error, and retires all connections made until now if it says that they are unfit.
    pub(crate) fn note(&self, error: &DbErr) -> Option<Fault> {
        let fault = Fault::of(error);
        if fault.is_some_and(Fault::spoils_connections) {
            self.retire_after(if fault == Some(Fault::Outdated) { SHORT_PAUSE } else { PAUSE }, error);
        }
        fault
    }

    /// Retires all connections made until now, because of `reason`.
    pub(crate) fn retire(&self, reason: &dyn std::fmt::Display) {
        self.retire_after(PAUSE, reason);
    }

    fn retire_after(&self, pause: Duration, reason: &dyn std::fmt::Display) {
        let now = Instant::now();
        let is_due = |last: Option<Instant>, pause| last.is_none_or(|last| now.duration_since(last) >= pause);
        let mut marks = self.0.lock();
        if !is_due(marks.retired, pause) {
            return;
        }
        marks.retired = Some(now);
        if is_due(marks.logged, LOG_PAUSE) {
            marks.logged = Some(now);
            tracing::warn!(%reason, "Database connections are replaced");
        }
    }

    /// Returns whether a connection may be used.
    pub(crate) fn allows(&self, connection: &PoolConnectionMetadata) -> bool {
        let retired = self.0.lock().retired;
        retired.is_none_or(|retired| connection.age < retired.elapsed())
    }

    /// Returns whether connections were retired within the last `span`.
    pub(crate) fn is_within(&self, span: Duration) -> bool {
        let retired = self.0.lock().retired;
        retired.is_some_and(|retired| retired.elapsed() <= span)
    }
}
