//! A start that waits for another one of the same student, on PostgreSQL: SQLite lets one transaction write at a time.

use examhall_core::{AttemptId, ExamId, Timestamp, UserId};
use examhall_store::{Error, ExamChange};
use examhall_testkit::DatabaseKind;
use uuid::Uuid;

use crate::{EDITOR, Fresh, NOW, Other, attempts::submit, exams::new_exam};

/// SQL of a start that has inserted its attempt.
fn inserted(id: AttemptId, exam: ExamId, student: UserId, submitted_at: Option<Timestamp>) -> String {
    format!(
        "INSERT INTO attempts (id, exam_id, user_id, number, started_at, deadline, answers, seq, submitted_at) \
         VALUES ('{id}', '{exam}', '{student}', 1, {now}, {now}, '[]', -1, {submitted_at})",
        exam = exam.0,
        student = student.0,
        now = NOW.as_millis(),
        submitted_at = submitted_at.map_or("NULL".to_owned(), |at| at.as_millis().to_string()),
    )
}

struct Hall {
    fresh: Fresh,
    exam: ExamId,
    student: UserId,
    /// The attempt of the other start.
    first: AttemptId,
}

impl Hall {
    async fn open(max_attempts: u32) -> Self {
        let fresh = Fresh::start(DatabaseKind::Postgres).await;
        let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
        let change = ExamChange { max_attempts: Some(max_attempts), ..ExamChange::default() };
        fresh.store.exams.change(exam, &change, EDITOR, NOW).await.expect("changed");
        Self { fresh, exam, student, first: AttemptId(Uuid::now_v7()) }
    }

    /// Starts while another start has inserted its attempt.
    async fn start_behind(&self, submitted_at: Option<Timestamp>, is_committed: bool) -> Result<AttemptId, Error> {
        let insert = inserted(self.first, self.exam, self.student, submitted_at);
        let other = Other::amid(&self.fresh, &insert).await;
        let end = async {
            other.sees_waiting(1).await;
            if is_committed { other.commits().await } else { other.gives_up().await }
        };
        let (started, ()) = tokio::join!(self.fresh.store.attempts.start(self.exam, self.student, NOW), end);
        started.map(|(_, attempt)| attempt.id)
    }

    /// The student's attempts.
    async fn attempts(&self) -> Vec<AttemptId> {
        let filter = examhall_store::AttemptFilter { user: Some(self.student), ..Default::default() };
        let listed =
            self.fresh.store.attempts.list(self.exam, &filter, &crate::attempts::OLDEST).await.expect("listed");
        listed.items.iter().map(|row| row.attempt.id).collect()
    }
}

#[tokio::test]
async fn an_overtaken_start_names_the_open_attempt() {
    for max_attempts in [1, 2] {
        let hall = Hall::open(max_attempts).await;
        let refused = hall.start_behind(None, true).await;
        assert!(matches!(refused, Err(Error::AttemptOpen(open)) if open == hall.first), "{refused:?}");
        assert_eq!(hall.attempts().await, [hall.first]);
    }
}

#[tokio::test]
async fn a_start_behind_a_submitted_attempt_is_the_next() {
    let hall = Hall::open(2).await;
    let second = hall.start_behind(Some(NOW), true).await.expect("started");
    assert_eq!(hall.attempts().await, [hall.first, second]);
    let (attempt, _) = hall.fresh.store.attempts.get(second).await.expect("found");
    submit(&hall.fresh.store, &attempt).await.expect("submitted");
    let third = hall.fresh.store.attempts.start(hall.exam, hall.student, NOW).await;
    assert!(matches!(third, Err(Error::WrongState(_))), "both are used: {third:?}");
}

#[tokio::test]
async fn a_start_behind_the_last_attempt_has_none_left() {
    let hall = Hall::open(1).await;
    let refused = hall.start_behind(Some(NOW), true).await;
    let sequential = hall.fresh.store.attempts.start(hall.exam, hall.student, NOW).await;
    assert!(matches!(sequential, Err(Error::WrongState(_))), "{sequential:?}");
    assert_eq!(format!("{refused:?}"), format!("{sequential:?}"), "as one that comes later");
    assert_eq!(hall.attempts().await, [hall.first]);
}

#[tokio::test]
async fn a_start_behind_one_that_fails_is_the_first() {
    let hall = Hall::open(1).await;
    let started = hall.start_behind(None, false).await.expect("started");
    assert_eq!(hall.attempts().await, [started]);
}
