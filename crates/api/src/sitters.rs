//! Which students may read an exam's questions since they sit it: known in memory, so that thousands who read a cached sheet
//! cost the database one indexed read each, or none where they have started here.

use std::time::Duration;

use examhall_core::{Attempt, ExamAccess, ExamId, Role, Timestamp, UserId, Viewer};
use examhall_store::{Error, Store};
use moka::sync::Cache;

/// Students that are remembered; about 20 MB.
const CAPACITY: u64 = 100_000;
/// How long one is remembered: an attempt that is submitted in another process shows the questions there for this long.
const LIFE: Duration = Duration::from_mins(1);

/// Students who may read the questions of an exam, for the attempt that they have.
pub(crate) struct Sitters(Cache<(ExamId, UserId), Seat>);

/// What was true when an attempt was read. That a student may not read the questions is never remembered: the next moment
/// they may start, in any process.
#[derive(Clone, Copy)]
struct Seat {
    /// After a change of it the attempt is read again: its deadline may have moved.
    exam: ExamAccess,
    until: Timestamp,
}

impl Sitters {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).time_to_live(LIFE).build())
    }

    /// Whether it is remembered that a student may read the questions.
    pub(crate) fn knows(&self, id: ExamId, exam: &ExamAccess, student: UserId, now: Timestamp) -> bool {
        self.0.get(&(id, student)).is_some_and(|seat| seat.exam == *exam && now < seat.until)
    }

    /// Remembers an attempt, if its student may read the questions for it.
    pub(crate) fn note(&self, attempt: &Attempt, exam: ExamAccess, now: Timestamp) {
        if attempt.shows_paper(&exam, now) {
            let until = if attempt.submitted_at.is_none() { attempt.last_call() } else { Timestamp::MAX_TEXT };
            self.0.insert((attempt.exam_id, attempt.user_id), Seat { exam, until });
        }
    }

    /// Forgets a student: their attempt has changed.
    pub(crate) fn forget(&self, id: ExamId, student: UserId) {
        self.0.invalidate(&(id, student));
    }

    /// Asks the database whether a student may read the questions.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(crate) async fn look_up(
        &self,
        store: &Store,
        (id, exam): (ExamId, &ExamAccess),
        viewer: Viewer,
        now: Timestamp,
    ) -> Result<bool, Error> {
        if viewer.role != Role::Student {
            return Ok(false); // nobody else has attempts
        }
        let Some(attempt) = store.attempts.last_of(id, viewer.id).await? else { return Ok(false) };
        self.note(&attempt, *exam, now);
        Ok(attempt.shows_paper(exam, now))
    }
}

#[cfg(test)]
mod tests {
    use examhall_core::{Admission, AttemptId, ExamStatus, PaperPolicy, ResultPolicy};
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

    #[test]
    fn a_seat_lasts_until_its_deadline_or_a_change() {
        let exam = ExamAccess {
            author_id: UserId(Uuid::nil()),
            status: ExamStatus::Published,
            opens_at: None,
            closes_at: None,
            paper: PaperPolicy::AfterStart,
            results: ResultPolicy::OnSubmit,
            show_marks: false,
            review: false,
            access: Admission::Open,
            results_published_at: None,
        };
        let (id, user) = (ExamId(Uuid::nil()), UserId(Uuid::max()));
        let attempt = Attempt {
            id: AttemptId(Uuid::nil()),
            exam_id: id,
            user_id: user,
            started_at: NOW,
            deadline: NOW.plus(Duration::from_secs(1)),
            submitted_at: None,
            order: None,
        };
        let (sitters, over) = (Sitters::new(), attempt.last_call());
        sitters.note(&Attempt { submitted_at: Some(NOW), ..attempt.clone() }, exam, NOW);
        assert!(!sitters.knows(id, &exam, user, NOW), "one that is over shows nothing");
        sitters.note(&attempt, exam, NOW);
        assert!(sitters.knows(id, &exam, user, NOW) && !sitters.knows(id, &exam, user, over));
        let closed = ExamAccess { status: ExamStatus::Closed, ..exam };
        assert!(!sitters.knows(id, &closed, user, NOW), "its deadline may have moved");
        assert!(!sitters.knows(id, &exam, UserId(Uuid::nil()), NOW), "another student");
        sitters.forget(id, user);
        assert!(!sitters.knows(id, &exam, user, NOW));
    }
}
