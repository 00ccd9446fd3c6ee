//! Attempts whose time is over are submitted in batches that processes share.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use examhall_core::{Attempt, AttemptId, ExamId, Timestamp};
use examhall_store::{Grading, NewMail, Place, PreparedPaper, Store, Submission};
use examhall_testkit::DatabaseKind;

use crate::{Fresh, NOW, Other, attempts::Grader, exams::new_exam, on_both};

on_both!(
    attempts_are_swept_in_batches_once_their_time_is_over,
    an_attempt_that_cannot_be_graded_holds_up_no_other,
    sweepers_at_once_share_the_work,
    an_attempt_that_cannot_be_written_holds_up_no_other,
);

/// Begins an attempt for each of `count` students, and returns when the last of them takes no answers any more.
async fn begin(fresh: &Fresh, exam: ExamId, count: usize) -> (Vec<Attempt>, Timestamp) {
    let mut attempts = Vec::new();
    for student in fresh.students(count).await {
        attempts.push(fresh.store.attempts.start(exam, student, NOW).await.expect("started").1);
    }
    let over = attempts[0].last_call();
    (attempts, over)
}

async fn attempts_are_swept_in_batches_once_their_time_is_over(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let (attempts, over) = begin(&fresh, exam, 5).await;
    let mut grader = Grader::default();
    let sweep = async |grader: &Grader, from, at| fresh.store.attempts.sweep(from, 2, grader, at).await.expect("swept");
    let early = Timestamp::from_millis(over.as_millis() - 1);
    let swept = sweep(&grader, Place::START, early).await;
    assert_eq!((swept.done.len(), swept.needs.len(), swept.next), (0, 0, None));
    let swept = sweep(&grader, Place::START, over).await;
    assert_eq!((swept.done.len(), swept.needs.len()), (0, 2), "there is no key");
    grader.load(&fresh.store, exam).await;
    let (mut done, mut place) = (Vec::new(), Some(Place::START));
    while let Some(from) = place {
        let swept = sweep(&grader, from, over).await;
        done.extend(swept.done);
        place = swept.next;
    }
    assert_eq!(done, attempts.iter().map(|attempt| attempt.id).collect::<Vec<_>>());
    let (attempt, _) = fresh.store.attempts.get(attempts[4].id).await.expect("found");
    assert_eq!(attempt.submitted_at, Some(attempt.deadline), "and not when it was swept");
    assert_eq!(fresh.store.outbox.claim(10, Duration::from_secs(1), over).await.expect("claimed").len(), 5);
}

async fn an_attempt_that_cannot_be_graded_holds_up_no_other(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let (attempts, over) = begin(&fresh, exam, 4).await;
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    fresh
        .database
        .sql("UPDATE attempts SET answers = '[7]' WHERE id IN (SELECT id FROM attempts ORDER BY id LIMIT 1)")
        .await;
    let first = fresh.store.attempts.sweep(Place::START, 2, &grader, over).await.expect("swept");
    assert_eq!((first.done, first.stuck.len()), (vec![attempts[1].id], 1));
    let rest = fresh.store.attempts.sweep(first.next.expect("more"), 2, &grader, over).await.expect("swept");
    assert_eq!(rest.done, [attempts[2].id, attempts[3].id]);
}

async fn sweepers_at_once_share_the_work(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let (attempts, over) = begin(&fresh, exam, 60).await;
    let sweepers = (0..4).map(|_| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let mut grader = Grader::default();
            grader.load(&store, exam).await;
            let (mut done, mut place) = (Vec::new(), Some(Place::START));
            while let Some(from) = place {
                let swept = store.attempts.sweep(from, 4, &grader, over).await.expect("swept");
                assert!(swept.stuck.is_empty(), "{:?}", swept.stuck);
                done.extend(swept.done);
                place = swept.next;
            }
            done
        })
    });
    let mut done = Vec::new();
    for sweeper in sweepers.collect::<Vec<_>>() {
        done.extend(sweeper.await.expect("no panic"));
    }
    done.sort_unstable();
    assert_eq!(done, attempts.iter().map(|attempt| attempt.id).collect::<Vec<_>>(), "each once, and all of them");
}

/// On PostgreSQL alone: SQLite has one writer.
#[tokio::test]
async fn attempts_that_another_sweeper_holds_are_left_to_it() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let exam = new_exam(&fresh).await;
    let (attempts, over) = begin(&fresh, exam, 4).await;
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let held = format!("SELECT id FROM attempts WHERE id = '{}' FOR UPDATE", attempts[0].id);
    let other = Other::amid(&fresh, &held).await;
    let sweeping = fresh.store.attempts.sweep(Place::START, 10, &grader, over);
    let swept = tokio::time::timeout(Duration::from_secs(4), sweeping).await.expect("it waits for nobody");
    let done: Vec<_> = attempts[1..].iter().map(|attempt| attempt.id).collect();
    assert_eq!(swept.expect("swept").done, done);
    other.gives_up().await;
    let swept = fresh.store.attempts.sweep(Place::START, 10, &grader, over).await.expect("swept");
    assert_eq!(swept.done, [attempts[0].id]);
}

async fn an_attempt_that_cannot_be_written_holds_up_no_other(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let (attempts, over) = begin(&fresh, exam, 3).await;
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let bad = attempts[1].id;
    let refuse = match fresh.database {
        examhall_testkit::Database::Sqlite(_) => format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON results WHEN NEW.attempt_id = x'{}' BEGIN SELECT RAISE(ABORT, 'no'); \
             END",
            bad.0.simple()
        ),
        examhall_testkit::Database::Postgres(_) => {
            format!("ALTER TABLE results ADD CONSTRAINT refuse CHECK (attempt_id <> '{bad}')")
        }
    };
    fresh.database.sql(&refuse).await;
    let swept = fresh.store.attempts.sweep(Place::START, 10, &grader, over).await.expect("swept");
    assert_eq!(swept.done, [attempts[0].id, attempts[2].id]);
    assert!(matches!(&swept.stuck[..], [(id, _)] if *id == bad), "{:?}", swept.stuck);
}

/// Where sweepers wait for each other, each in the middle of its first batch, whose rows it has locked.
#[derive(Default)]
struct Rendezvous {
    present: Mutex<usize>,
    came: Condvar,
}

impl Rendezvous {
    const TIMEOUT: Duration = Duration::from_mins(1);

    /// Waits until `count` are here: where one waits for a lock of another, that never is.
    fn wait_for(&self, count: usize) {
        let mut present = self.present.lock().expect("no panic");
        *present += 1;
        self.came.notify_all();
        let waited = self.came.wait_timeout_while(present, Self::TIMEOUT, |present| *present < count);
        assert!(!waited.expect("no panic").1.timed_out(), "a sweeper waits for the batch of another");
    }
}

/// Grades once all sweepers hold a batch.
struct Gathering {
    grader: Grader,
    of: usize,
    rendezvous: Arc<Rendezvous>,
    is_there: Mutex<bool>,
}

impl Grading for Gathering {
    fn paper(&self, exam: ExamId, version: i64) -> Option<Arc<PreparedPaper>> {
        if !std::mem::replace(&mut *self.is_there.lock().expect("no panic"), true) {
            self.rendezvous.wait_for(self.of);
        }
        self.grader.paper(exam, version)
    }

    fn mail(&self, submission: &Submission) -> NewMail {
        self.grader.mail(submission)
    }
}

/// Sweeps with connections and a thread of its own, as a process does; returns the batches that it took.
fn sweep_all(
    url: &str,
    exam: ExamId,
    over: Timestamp,
    (of, rendezvous): (usize, Arc<Rendezvous>),
) -> Vec<Vec<AttemptId>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = Store::connect_with(url, 2).await.expect("connected");
        let mut grader = Grader::default();
        grader.load(&store, exam).await;
        let gathering = Gathering { grader, of, rendezvous, is_there: Mutex::new(false) };
        let (mut batches, mut place) = (Vec::new(), Some(Place::START));
        while let Some(from) = place {
            let swept = store.attempts.sweep(from, 5, &gathering, over).await.expect("swept");
            assert!(swept.stuck.is_empty() && swept.needs.is_empty(), "{swept:?}");
            batches.push(swept.done);
            place = swept.next;
        }
        store.close().await;
        batches
    })
}

/// On PostgreSQL alone: SQLite has one writer.
#[tokio::test]
async fn three_sweepers_work_at_once_on_batches_of_their_own() {
    const SWEEPERS: usize = 3;
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let exam = new_exam(&fresh).await;
    let (attempts, over) = begin(&fresh, exam, 60).await;
    let rendezvous = Arc::new(Rendezvous::default());
    let sweepers: Vec<_> = (0..SWEEPERS)
        .map(|_| {
            let (url, meeting) = (fresh.database.url(), (SWEEPERS, Arc::clone(&rendezvous)));
            tokio::task::spawn_blocking(move || sweep_all(&url, exam, over, meeting))
        })
        .collect();
    let mut done = Vec::new();
    for sweeper in sweepers {
        let batches = sweeper.await.expect("no panic");
        assert_eq!(batches[0].len(), 5, "while the others held theirs");
        done.extend(batches.concat());
    }
    done.sort_unstable();
    assert_eq!(done, attempts.iter().map(|attempt| attempt.id).collect::<Vec<_>>(), "each once, and all of them");
    for (table, rows) in [("results", "60"), ("mail_outbox", "60")] {
        assert_eq!(fresh.database.sql(&format!("SELECT COUNT(*) FROM {table}")).await, rows, "{table}");
    }
}
