//! Students who have a seat in an exam with a roster: known in memory, so that thousands who read the exam cost the database
//! one indexed read each.

use std::time::Duration;

use examhall_core::{ExamId, UserId};
use examhall_store::{Error, Store};
use moka::sync::Cache;

/// Students that are remembered.
const CAPACITY: u64 = 100_000;
/// How long one is remembered: one who is taken off the roster sees the exam for this long.
const LIFE: Duration = Duration::from_mins(1);

/// Students who have a seat. That one has none is never remembered.
pub(crate) struct KnownSeats(Cache<(ExamId, UserId), ()>);

impl KnownSeats {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).time_to_live(LIFE).build())
    }

    /// Whether a student has a seat.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(crate) async fn has(&self, store: &Store, exam: ExamId, student: UserId) -> Result<bool, Error> {
        if self.0.contains_key(&(exam, student)) {
            return Ok(true);
        }
        let has_seat = store.seats.has(exam, student).await?;
        if has_seat {
            self.0.insert((exam, student), ());
        }
        Ok(has_seat)
    }
}
