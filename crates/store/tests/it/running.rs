//! Deadlines that are moved while students submit and sweepers sweep, from two connections as from two processes: of each race
//! there is one outcome.

use std::time::Duration;

use examhall_core::{Accommodation, Attempt, ExamId, Patch, Timestamp, UserId};
use examhall_store::{AttemptFilter, Error, ExamChange, Place, Store};

use crate::{
    EDITOR, Fresh, NOW,
    attempts::{Grader, submit},
    exams::new_exam,
    on_both,
};

on_both!(
    deadlines_are_computed_from_the_exam_as_it_is,
    closing_while_many_submit_loses_none,
    extending_in_the_last_second_has_one_outcome,
    an_attempt_that_was_extended_is_not_overdue,
);

async fn begin(fresh: &Fresh, exam: ExamId, count: usize) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for student in fresh.students(count).await {
        attempts.push(fresh.store.attempts.start(exam, student, NOW).await.expect("started").1);
    }
    attempts
}

fn minutes(count: u64) -> Timestamp {
    NOW.plus(Duration::from_mins(count))
}

async fn results(fresh: &Fresh) -> String {
    fresh.database.sql("SELECT COUNT(*) FROM results").await
}

async fn deadlines_are_computed_from_the_exam_as_it_is(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let students = fresh.students(3).await;
    let granted = Some(Accommodation { factor: Some(1.5), minutes: Some(7) });
    let accommodate = async |granted| {
        fresh.store.exams.accommodate(exam, students[1], granted, EDITOR.user, NOW).await.expect("granted")
    };
    assert_eq!((accommodate(granted).await, accommodate(granted).await), (true, false));
    let mut attempts = Vec::new();
    for student in &students {
        attempts.push(fresh.store.attempts.start(exam, *student, NOW).await.expect("started").1);
    }
    assert_eq!([&attempts[0], &attempts[1]].map(|attempt| attempt.deadline), [minutes(90), minutes(90 + 45 + 7)]);
    let moved = fresh.store.attempts.set_deadline(attempts[2].id, minutes(80), EDITOR.user, None, NOW).await;
    assert_eq!(moved.expect("moved").deadline, minutes(80));
    let deadlines = async || {
        let listed = fresh.store.attempts.list(exam, &AttemptFilter::default(), &crate::attempts::OLDEST).await;
        listed.expect("listed").items.into_iter().map(|row| row.attempt.deadline).collect::<Vec<_>>()
    };
    let change = async |change: ExamChange, now| {
        fresh.store.exams.change(exam, &change, EDITOR, now).await.expect("changed");
    };
    change(ExamChange { duration_minutes: Some(120), ..ExamChange::default() }, NOW).await;
    assert_eq!(deadlines().await, [minutes(120), minutes(120 + 60 + 7), minutes(110)]);
    change(ExamChange { closes_at: Patch::Set(minutes(100)), ..ExamChange::default() }, NOW).await;
    assert_eq!(deadlines().await, [minutes(100), minutes(100 + 60 + 7), minutes(90)]);
    let now = minutes(50);
    change(ExamChange { closes_at: Patch::Set(minutes(1)), ..ExamChange::default() }, now).await;
    assert_eq!(deadlines().await, [now, minutes(1 + 60 + 7), now], "none ends before it is changed");
    change(ExamChange { closes_at: Patch::Clear, ..ExamChange::default() }, now).await;
    assert_eq!(deadlines().await, [minutes(120), minutes(120 + 60 + 7), minutes(110)]);
    let closed = fresh.store.exams.close(exam, Duration::from_secs(30), EDITOR, now).await.expect("closed");
    let ends = now.plus(Duration::from_secs(30));
    assert_eq!((closed.open_attempts, closed.attempts_end_at), (3, ends.plus(Attempt::GRACE)));
    assert_eq!(deadlines().await, [ends; 3]);
    change(ExamChange { duration_minutes: Some(240), ..ExamChange::default() }, now).await;
    assert_eq!(deadlines().await, [ends; 3], "a closed exam gives no more time");
    for (grace, ends) in [(60, ends), (10, now.plus(Duration::from_secs(10)))] {
        let again = fresh.store.exams.close(exam, Duration::from_secs(grace), EDITOR, now).await.expect("closed");
        assert_eq!((again.open_attempts, again.attempts_end_at), (3, ends.plus(Attempt::GRACE)), "{grace} s of grace");
        assert_eq!(deadlines().await, [ends; 3]);
    }
    let reopen = async |closes_at| fresh.store.exams.reopen(exam, closes_at, EDITOR, now).await;
    assert!(matches!(reopen(Patch::Set(now)).await, Err(Error::WrongState(_))), "its end has passed");
    assert_eq!(deadlines().await, [now.plus(Duration::from_secs(10)); 3]);
    fresh.store.exams.reopen(exam, Patch::Keep, EDITOR, now).await.expect("reopened");
    assert_eq!(deadlines().await, [minutes(240), minutes(240 + 120 + 7), minutes(230)]);
}

/// The same database as another process sees it.
async fn other(fresh: &Fresh) -> Store {
    Store::connect(&fresh.database.url()).await.expect("connected")
}

async fn closing_while_many_submit_loses_none(fresh: Fresh) {
    let (exam, other) = (new_exam(&fresh).await, other(&fresh).await);
    let attempts = begin(&fresh, exam, 30).await;
    let submitting = attempts.iter().take(20).cloned().enumerate().map(|(n, attempt)| {
        let store = if n % 2 == 0 { fresh.store.clone() } else { other.clone() };
        tokio::spawn(async move { submit_again(&store, &attempt).await })
    });
    let submitting: Vec<_> = submitting.collect();
    let closed = fresh.store.exams.close(exam, Duration::ZERO, EDITOR, NOW).await.expect("closed");
    for one in submitting {
        one.await.expect("no panic");
    }
    assert!((10..=30).contains(&closed.open_attempts), "{}", closed.open_attempts);
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let over = NOW.plus(Attempt::GRACE);
    let (one, two) = tokio::join!(
        fresh.store.attempts.sweep(Place::START, 100, &grader, over),
        other.attempts.sweep(Place::START, 100, &grader, over),
    );
    for swept in [one.expect("swept"), two.expect("swept")] {
        assert!(swept.stuck.is_empty() && swept.needs.is_empty(), "{swept:?}");
    }
    assert_eq!(results(&fresh).await, "30", "one for each attempt");
    assert_eq!(fresh.database.sql("SELECT COUNT(*) FROM attempts WHERE submitted_at IS NULL").await, "0");
}

/// Closing makes a new version of the paper: then it is read again, as the API does.
async fn submit_again(store: &Store, attempt: &Attempt) {
    loop {
        let mut grader = Grader::default();
        grader.load(store, attempt.exam_id).await;
        let submitted = store.attempts.submit(attempt.id, attempt.user_id, &grader, NOW).await.expect("submitted");
        if matches!(submitted, examhall_store::Submitted::Done { .. }) {
            return;
        }
    }
}

async fn extending_in_the_last_second_has_one_outcome(fresh: Fresh) {
    let (exam, other) = (new_exam(&fresh).await, other(&fresh).await);
    let attempts = begin(&fresh, exam, 20).await;
    let (over, later) = (attempts[0].last_call(), minutes(200));
    let extending: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            let (store, id) = (other.clone(), attempt.id);
            tokio::spawn(async move { store.attempts.set_deadline(id, later, EDITOR.user, None, over).await })
        })
        .collect();
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let mut place = Some(Place::START);
    while let Some(from) = place {
        place = fresh.store.attempts.sweep(from, 3, &grader, over).await.expect("swept").next;
    }
    let mut submitted = 0;
    for (extended, attempt) in extending.into_iter().zip(&attempts) {
        let (now, _) = match extended.await.expect("no panic") {
            Ok(extended) => {
                assert_eq!(extended.deadline, later);
                let now = fresh.store.attempts.get(attempt.id).await.expect("found");
                assert_eq!((now.0.deadline, now.0.submitted_at), (later, None), "extended, and open");
                now
            }
            Err(Error::WrongState(_)) => {
                submitted += 1;
                fresh.store.attempts.get(attempt.id).await.expect("found")
            }
            Err(error) => unreachable!("{error}"),
        };
        assert!(now.submitted_at.is_some() || now.deadline == later, "{now:?}");
    }
    assert_eq!(results(&fresh).await, submitted.to_string(), "a result for each that was not extended");
}

async fn an_attempt_that_was_extended_is_not_overdue(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let attempt = begin(&fresh, exam, 1).await.remove(0);
    let (over, student) = (attempt.last_call(), UserId(attempt.user_id.0));
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let overdue = async |at| fresh.store.attempts.submit_overdue(attempt.id, student, &grader, at).await;
    fresh.store.attempts.set_deadline(attempt.id, over, EDITOR.user, None, over).await.expect("extended");
    assert!(matches!(overdue(over).await, Err(Error::AttemptOpen(id)) if id == attempt.id));
    assert_eq!(results(&fresh).await, "0");
    overdue(over.plus(Attempt::GRACE)).await.expect("its time is over");
    assert_eq!(results(&fresh).await, "1");
    assert!(submit(&fresh.store, &attempt).await.is_ok(), "twice is once");
}
