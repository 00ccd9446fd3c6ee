//! Accounts that end while their students sit, from two connections as from two processes: of each race there is one outcome.

use examhall_core::{Attempt, UserId};
use examhall_store::{Deleter, Error, Place, Store};

use crate::{
    Fresh, NOW,
    attempts::{Grader, submit},
    exams::new_exam,
    on_both,
    outbox::mail,
};

on_both!(
    deleting_while_students_submit_loses_no_grade,
    a_deleted_account_starts_nothing,
    an_account_without_a_trace_is_gone,
);

/// Deletes an account whose owner knows the password.
async fn delete(store: &Store, user: UserId) -> Result<(), Error> {
    store.accounts.delete(user, Deleter::Owner("$argon2id$..."), "$unusable", |_| mail(10), NOW).await
}

async fn deleting_while_students_submit_loses_no_grade(fresh: Fresh) {
    let (exam, other) = (new_exam(&fresh).await, Store::connect(&fresh.database.url()).await.expect("connected"));
    let students = fresh.students(30).await;
    let mut attempts = Vec::new();
    for student in &students {
        attempts.push(fresh.store.attempts.start(exam, *student, NOW).await.expect("started").1);
    }
    let submitting = attempts.iter().take(20).cloned().map(|attempt| {
        let store = fresh.store.clone();
        tokio::spawn(async move { submit(&store, &attempt).await.expect("submitted") })
    });
    let submitting: Vec<_> = submitting.collect();
    let deleting = students.iter().copied().map(|student| {
        let store = other.clone();
        tokio::spawn(async move { delete(&store, student).await.expect("deleted") })
    });
    for one in deleting.collect::<Vec<_>>() {
        one.await.expect("no panic");
    }
    for one in submitting {
        one.await.expect("no panic");
    }
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let swept = fresh.store.attempts.sweep(Place::START, 100, &grader, NOW.plus(Attempt::GRACE)).await.expect("swept");
    assert!(swept.stuck.is_empty() && swept.needs.is_empty(), "{swept:?}");
    let count = async |sql: &str| fresh.database.sql(&format!("SELECT COUNT(*) FROM {sql}")).await;
    assert_eq!(count("results").await, "30", "one for each attempt");
    assert_eq!(count("attempts WHERE submitted_at IS NULL").await, "0");
    assert_eq!(count("users WHERE name = 'Deleted account' AND email LIKE '%@deleted.invalid'").await, "30");
    assert!(matches!(delete(&other, students[0]).await, Err(Error::NotFound)), "once");
}

async fn a_deleted_account_starts_nothing(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(20).await);
    let mut racing = Vec::new();
    for student in &students {
        let (store, student) = (fresh.store.clone(), *student);
        racing.push(tokio::spawn(async move { store.attempts.start(exam, student, NOW).await.map(drop) }));
        delete(&fresh.store, student).await.expect("deleted");
    }
    for one in racing {
        let started = one.await.expect("no panic");
        assert!(matches!(started, Ok(()) | Err(Error::NotFound)), "{started:?}");
    }
    for student in students {
        let late = fresh.store.attempts.start(exam, student, NOW).await;
        assert!(matches!(late, Err(Error::NotFound)), "{late:?}");
    }
    let sql = format!("SELECT COUNT(*) FROM attempts WHERE submitted_at IS NULL AND deadline > {}", NOW.as_millis());
    assert_eq!(fresh.database.sql(&sql).await, "0", "what was started before is over");
}

async fn an_account_without_a_trace_is_gone(fresh: Fresh) {
    let student = fresh.students(1).await[0];
    let wrong = fresh.store.accounts.delete(student, Deleter::Owner("$another"), "$unusable", |_| mail(10), NOW).await;
    assert!(matches!(wrong, Err(Error::WrongState(_))), "{wrong:?}");
    delete(&fresh.store, student).await.expect("deleted");
    assert_eq!(fresh.database.sql("SELECT COUNT(*) FROM users").await, "0");
    assert_eq!(fresh.database.sql("SELECT COUNT(*) FROM mail_outbox").await, "1", "it is told");
}
