//! Results are graded again with a corrected key: once, by whichever process, and with what they were before.

use std::time::Duration;

use examhall_core::{Choice, ExamId, ExamResult, Question, QuestionKind, RegradeCounts, UserId};
use examhall_store::{
    Edit, Editor, NewMail, Page, Paper, PreparedPaper, RegradeStep, Regrading, Submission, Submitted, Versioned,
};
use examhall_testkit::DatabaseKind;

use crate::{
    EDITOR, Fresh, NOW, Other,
    attempts::{Grader, submit},
    exams::{new_exam, question},
    on_both,
    outbox::mail,
    results::sit,
};

on_both!(
    a_corrected_key_grades_all_results_again,
    a_key_that_changes_meanwhile_counts_for_all,
    workers_at_once_change_each_result_once,
    an_attempt_that_cannot_be_read_holds_up_no_other,
);

const ALL: Page = Page { limit: 10, after: None };

impl Regrading for Grader {
    fn mail_of_change(&self, _: &Submission, _: &ExamResult) -> NewMail {
        mail(1)
    }
}

/// Question 3 with "a" as its right choice, or with "b", and that many points.
fn key(right: &str, points: f64) -> Edit {
    let choice = |id: &str| Choice { id: id.into(), text: id.into(), correct: id == right };
    let kind = QuestionKind::SingleChoice { choices: vec![choice("a"), choice("b")] };
    Edit::Change(Question { points, kind, ..question(3) })
}

async fn correct(fresh: &Fresh, exam: ExamId, key: Edit) {
    let editor = Editor { force: true, ..EDITOR };
    fresh.store.questions.edit(exam, key, editor, NOW).await.expect("changed");
}

/// Grades again until nothing is left, at most two at a time; returns what has changed.
async fn run(fresh: &Fresh, exam: ExamId) -> RegradeCounts {
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    loop {
        match fresh.store.regrades.step(&grader, &[], 2, NOW).await.expect("graded") {
            RegradeStep::Idle => return fresh.store.regrades.last(exam).await.expect("begun").counts,
            RegradeStep::Done(_) => {}
            needs @ RegradeStep::Needs(..) => unreachable!("{needs:?}"),
        }
    }
}

async fn paper(fresh: &Fresh, exam: ExamId) -> PreparedPaper {
    let paper: Versioned<Paper> = fresh.store.questions.paper(exam).await.expect("found");
    paper.into()
}

/// The results of an exam, oldest first.
async fn results(fresh: &Fresh, exam: ExamId) -> Vec<ExamResult> {
    let exported = fresh.store.results.export(exam, None).await.expect("read").items;
    exported.into_iter().map(|row| row.result).collect()
}

/// Students that have chosen "a" in these questions; returns the exam.
async fn sat(fresh: &Fresh, students: &[&[u128]]) -> (ExamId, Vec<UserId>) {
    let (exam, ids) = (new_exam(fresh).await, fresh.students(students.len()).await);
    for (student, right) in ids.iter().zip(students) {
        sit(fresh, exam, *student, right).await;
    }
    fresh.store.outbox.claim(100, Duration::from_secs(1), NOW).await.expect("claimed");
    (exam, ids)
}

async fn a_corrected_key_grades_all_results_again(fresh: Fresh) {
    let (exam, students) = sat(&fresh, &[&[7, 3], &[7], &[3], &[3, 5, 7]]).await;
    fresh.store.accounts.unsubscribe_from_results(students[2], NOW).await.expect("unsubscribed");
    let before = results(&fresh, exam).await;
    correct(&fresh, exam, key("b", 1.5)).await;
    let counts = RegradeCounts { changed: 3, lowered: 3, newly_failed: 1, mailed: 2, ..RegradeCounts::default() };
    let preview = fresh.store.regrades.preview(&paper(&fresh, exam).await, NOW).await.expect("previewed");
    assert_eq!((preview.results, preview.counts, preview.examples.len()), (4, counts, 3));
    assert_eq!((&preview.examples[0].before, preview.examples[0].after.percent), (&before[0], 33.33));
    assert_eq!(results(&fresh, exam).await, before, "nothing is changed");

    let begun = fresh.store.regrades.begin(exam, EDITOR, NOW).await.expect("begun");
    let again = fresh.store.regrades.begin(exam, EDITOR, NOW).await.expect("begun");
    assert_eq!((begun.id, begun.total, begun.finished_at), (again.id, 4, None), "one runs at a time");
    assert_eq!(run(&fresh, exam).await, counts);
    let done = fresh.store.regrades.last(exam).await.expect("begun");
    assert_eq!((done.id, done.graded, done.finished_at), (begun.id, 4, Some(NOW)));
    let after = results(&fresh, exam).await;
    assert_eq!(after.iter().map(|result| result.percent).collect::<Vec<_>>(), [33.33, 33.33, 0.0, 66.67]);
    assert_eq!(after[1], before[1], "as it was");
    assert_eq!((after[0].graded_at, after[0].regraded_at), (NOW, Some(NOW)));
    let former = fresh.store.regrades.former(after[0].id, ALL).await.expect("listed").items;
    assert_eq!((former.len(), former[0].percent, former[0].marks.len()), (1, 66.67, 3), "kept");
    assert_eq!(fresh.store.results.get(after[0].id).await.expect("found").version, 2);
    assert_eq!(fresh.store.results.changes(exam).await.expect("counted"), 3);
    let mails = fresh.store.outbox.claim(100, Duration::from_secs(1), NOW).await.expect("claimed");
    assert_eq!(mails.len(), 2);
    fresh.store.regrades.begin(exam, EDITOR, NOW).await.expect("begun");
    assert_eq!(run(&fresh, exam).await, RegradeCounts::default(), "a second time changes nothing");
}

async fn a_key_that_changes_meanwhile_counts_for_all(fresh: Fresh) {
    let (exam, _) = sat(&fresh, &[&[3], &[3], &[3]]).await;
    correct(&fresh, exam, key("b", 1.5)).await;
    fresh.store.regrades.begin(exam, EDITOR, NOW).await.expect("begun");
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let step = async |grader: &Grader| fresh.store.regrades.step(grader, &[], 2, NOW).await.expect("graded");
    assert!(matches!(step(&grader).await, RegradeStep::Done(regrade) if regrade.graded == 2));
    correct(&fresh, exam, key("a", 3.0)).await;
    assert_eq!(step(&grader).await, RegradeStep::Needs(exam, 3), "not with the key of before");
    assert_eq!(fresh.store.regrades.step(&grader, &[exam], 2, NOW).await.expect("asked"), RegradeStep::Idle);
    run(&fresh, exam).await;
    let found = results(&fresh, exam).await;
    assert!(found.iter().all(|result| (result.score, result.max_score) == (3.0, 6.0)), "{found:?}");
    let former = fresh.store.regrades.former(found[0].id, ALL).await.expect("listed").items;
    assert_eq!(former.iter().map(|former| former.score).collect::<Vec<_>>(), [1.5, 0.0]);
}

async fn workers_at_once_change_each_result_once(fresh: Fresh) {
    let (exam, _) = sat(&fresh, &[&[3_u128][..]; 20]).await;
    correct(&fresh, exam, key("b", 1.5)).await;
    fresh.store.regrades.begin(exam, EDITOR, NOW).await.expect("begun");
    let workers = (0..4).map(|_| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let mut grader = Grader::default();
            grader.load(&store, exam).await;
            while store.regrades.last(exam).await.expect("begun").finished_at.is_none() {
                store.regrades.step(&grader, &[], 3, NOW).await.expect("graded");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("no panic");
    }
    let done = fresh.store.regrades.last(exam).await.expect("begun");
    assert_eq!((done.graded, done.counts.changed, done.counts.mailed), (20, 20, 20));
    assert_eq!(fresh.store.outbox.claim(100, Duration::from_secs(1), NOW).await.expect("claimed").len(), 20);
}

async fn an_attempt_that_cannot_be_read_holds_up_no_other(fresh: Fresh) {
    let (exam, _) = sat(&fresh, &[&[3], &[3]]).await;
    fresh
        .database
        .sql("UPDATE attempts SET answers = '[7]' WHERE id IN (SELECT id FROM attempts ORDER BY id LIMIT 1)")
        .await;
    correct(&fresh, exam, key("b", 1.5)).await;
    fresh.store.regrades.begin(exam, EDITOR, NOW).await.expect("begun");
    let counts = run(&fresh, exam).await;
    assert_eq!((counts.ungradable, counts.changed), (1, 1));
}

/// SQLite has one writer.
#[tokio::test]
async fn a_submission_that_was_overtaken_takes_the_new_key() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let (exam, students) = sat(&fresh, &[&[3]]).await;
    let (_, attempt) = fresh.store.attempts.start(exam, students[0], NOW).await.expect("started");
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let other = Other::amid(&fresh, &format!("SELECT id FROM attempts WHERE id = '{}' FOR UPDATE", attempt.id)).await;
    let store = fresh.store.clone();
    let submitting =
        tokio::spawn(async move { store.attempts.submit(attempt.id, attempt.user_id, &grader, NOW).await });
    other.sees_waiting(1).await;
    correct(&fresh, exam, key("b", 1.5)).await;
    other.gives_up().await;
    let submitted = submitting.await.expect("no panic").expect("asked");
    assert_eq!(submitted, Submitted::Needs(exam, 2), "the key of its first look grades nothing");
}

/// SQLite has one writer.
#[tokio::test]
async fn a_submission_in_flight_is_waited_for() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let (exam, students) = sat(&fresh, &[&[]]).await;
    let (_, attempt) = fresh.store.attempts.start(exam, students[0], NOW).await.expect("started");
    correct(&fresh, exam, key("b", 1.5)).await;
    fresh.store.regrades.begin(exam, EDITOR, NOW).await.expect("begun");
    // As a submission does with the key of before, that has read it and not committed yet.
    let submission = format!(
        "INSERT INTO results (id, attempt_id, exam_id, user_id, score, max_score, percent, passed, marks, graded_at) \
         VALUES ('{0}', '{0}', '{exam}', '{1}', 1.5, 4.5, 33.33, false, '[]', 1); \
         UPDATE attempts SET submitted_at = 1 WHERE id = '{0}'",
        attempt.id, attempt.user_id
    );
    let other = Other::amid(&fresh, &submission).await;
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let store = fresh.store.clone();
    let step = tokio::spawn(async move { store.regrades.step(&grader, &[], 10, NOW).await.expect("graded") });
    other.sees_waiting(1).await;
    other.commits().await;
    let done = step.await.expect("no panic");
    assert!(matches!(&done, RegradeStep::Done(regrade) if regrade.graded == 2), "{done:?}");
    let found = results(&fresh, exam).await;
    assert!(found.iter().all(|result| result.score == 0.0), "{found:?}");
    let again = submit(&fresh.store, &attempt).await.expect("answered");
    assert_eq!(again.id, found[1].id, "submitted again: the same result");
}
