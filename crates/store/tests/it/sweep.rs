//! Attempts whose time is over are handed in by batches that processes share.

use std::time::Duration;

use examhall_core::{Attempt, ExamId, Timestamp};
use examhall_store::Place;
use examhall_testkit::DatabaseKind;

use crate::{Fresh, NOW, Other, attempts::Grader, exams::new_exam, on_both};

on_both!(
    attempts_are_swept_in_batches_once_their_time_is_over,
    an_attempt_that_cannot_be_graded_holds_up_no_other,
    sweepers_at_once_share_the_work,
    an_attempt_that_cannot_be_written_holds_up_no_other,
);

/// Begins an attempt for each of `count` students, and gives when the last of them takes no answers any more.
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
