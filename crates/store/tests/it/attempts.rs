use std::time::Duration;

use examhall_core::{Answer, Attempt, AttemptId, ExamStatus, Patch, QuestionId, Timestamp, UserId};
use examhall_store::{Error, ExamChange, Page, Store, Submission};
use uuid::Uuid;

use crate::{Fresh, NOW, exams::new_exam, on_both, outbox::mail};

on_both!(
    a_student_starts_as_often_as_allowed_and_one_at_a_time,
    of_many_starts_at_once_one_succeeds,
    only_an_open_exam_can_be_started,
    answers_are_replaced_by_those_with_a_higher_number_only,
    of_many_saves_at_once_the_highest_number_wins,
    answers_are_taken_until_the_end_of_grace_and_not_after_handing_in,
    handing_in_twice_at_once_gives_one_result_and_one_mail,
    attempts_whose_time_is_over_are_found,
);

const FIRST: Page = Page { limit: 10, after: None };

fn right(n: u128) -> Answer {
    Answer { question_id: QuestionId(Uuid::from_u128(n)), choice_ids: Some(vec!["a".into()]), value: None }
}

pub(crate) async fn submit(store: &Store, attempt: &Attempt) -> Result<examhall_core::ExamResult, Error> {
    let paper = store.questions.paper(attempt.exam_id).await.expect("found").value;
    store.attempts.submit(attempt.id, &paper, NOW, |_: &Submission| mail(5)).await
}

async fn a_student_starts_as_often_as_allowed_and_one_at_a_time(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let start = async || fresh.store.attempts.start(exam, student, NOW).await;
    let (_, first) = start().await.expect("started");
    assert_eq!((first.exam_id, first.user_id, first.deadline), (exam, student, NOW.plus(Duration::from_mins(90))));
    assert!(matches!(start().await, Err(Error::AttemptOpen(id)) if id == first.id));
    submit(&fresh.store, &first).await.expect("handed in");
    let (_, second) = start().await.expect("the second of two");
    submit(&fresh.store, &second).await.expect("handed in");
    assert!(matches!(start().await, Err(Error::WrongState(_))), "none left");
    let mine = fresh.store.attempts.of_student(exam, student, FIRST).await.expect("listed");
    assert_eq!(mine.items.iter().map(|attempt| attempt.id).collect::<Vec<_>>(), [first.id, second.id]);
}

async fn of_many_starts_at_once_one_succeeds(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let starts = (0..20).map(|_| {
        let store = fresh.store.clone();
        tokio::spawn(async move { store.attempts.start(exam, student, NOW).await })
    });
    let mut started = 0;
    for start in starts.collect::<Vec<_>>() {
        let answer = start.await.expect("no panic");
        assert!(matches!(answer, Ok(_) | Err(Error::AttemptOpen(_) | Error::WrongState(_))), "{answer:?}");
        started += i32::from(answer.is_ok());
    }
    assert_eq!(started, 1);
}

async fn only_an_open_exam_can_be_started(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let closes_at = NOW.plus(Duration::from_mins(10));
    let change = ExamChange { opens_at: Patch::Set(NOW), closes_at: Patch::Set(closes_at), ..ExamChange::default() };
    fresh.store.exams.change(exam, &change, None, NOW).await.expect("changed");
    let start = async |at| fresh.store.attempts.start(exam, student, at).await;
    assert!(matches!(start(Timestamp::from_millis(NOW.as_millis() - 1)).await, Err(Error::NotOpen)));
    assert!(matches!(start(closes_at).await, Err(Error::NotOpen)));
    assert_eq!(start(NOW).await.expect("started").1.deadline, closes_at, "no longer than the exam");
    fresh.store.exams.advance(exam, ExamStatus::Closed, None, NOW).await.expect("closed");
    assert!(matches!(start(NOW).await, Err(Error::NotOpen)));
}

async fn answers_are_replaced_by_those_with_a_higher_number_only(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(2).await);
    let (_, attempt) = fresh.store.attempts.start(exam, students[0], NOW).await.expect("started");
    let later = NOW.plus(Duration::from_secs(1));
    let save = async |seq, answers: &[Answer], at| {
        fresh.store.attempts.save(attempt.id, students[0], seq, answers, at).await.expect("saved")
    };
    assert_eq!(save(0, &[right(7)], NOW).await, (0, NOW));
    assert_eq!(save(5, &[right(3), right(5)], NOW).await, (5, NOW));
    assert_eq!(save(5, &[], later).await, (5, NOW), "the same number changes nothing");
    assert_eq!(save(4, &[], later).await, (5, NOW));
    let (_, saved) = fresh.store.attempts.get(attempt.id).await.expect("found");
    assert_eq!((saved.seq, saved.saved_at, saved.answers), (5, Some(NOW), vec![right(3), right(5)]));
    let stranger = fresh.store.attempts.save(attempt.id, students[1], 9, &[], NOW).await;
    assert!(matches!(stranger, Err(Error::NotFound)));
    let unknown = fresh.store.attempts.save(AttemptId(Uuid::nil()), students[0], 9, &[], NOW).await;
    assert!(matches!(unknown, Err(Error::NotFound)));
}

async fn of_many_saves_at_once_the_highest_number_wins(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let saves = (0..100_i64).map(|n| {
        let (store, seq) = (fresh.store.clone(), n * 37 % 100);
        let answer = right(u128::try_from(seq).expect("small"));
        tokio::spawn(async move { store.attempts.save(attempt.id, student, seq, &[answer], NOW).await })
    });
    for done in saves.collect::<Vec<_>>() {
        done.await.expect("no panic").expect("saved");
    }
    let (_, stored) = fresh.store.attempts.get(attempt.id).await.expect("found");
    assert_eq!((stored.seq, stored.answers), (99, vec![right(99)]));
}

async fn answers_are_taken_until_the_end_of_grace_and_not_after_handing_in(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let save = async |seq, at| fresh.store.attempts.save(attempt.id, student, seq, &[], at).await;
    let last = Timestamp::from_millis(attempt.last_call().as_millis() - 1);
    save(1, last).await.expect("within grace");
    assert!(matches!(save(2, attempt.last_call()).await, Err(Error::WrongState(_))));
    submit(&fresh.store, &attempt).await.expect("handed in");
    assert!(matches!(save(3, NOW).await, Err(Error::WrongState(_))));
}

async fn handing_in_twice_at_once_gives_one_result_and_one_mail(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let answers = [right(7), right(5)];
    fresh.store.attempts.save(attempt.id, student, 1, &answers, NOW).await.expect("saved");
    let submissions = (0..20).map(|_| {
        let (store, attempt) = (fresh.store.clone(), attempt.clone());
        tokio::spawn(async move { submit(&store, &attempt).await.expect("handed in") })
    });
    let mut results = Vec::new();
    for submission in submissions.collect::<Vec<_>>() {
        results.push(submission.await.expect("no panic"));
    }
    results.dedup();
    assert_eq!(results.len(), 1, "all are told of the same result");
    assert_eq!((results[0].score, results[0].percent, results[0].passed), (3.0, 66.67, true));
    assert_eq!(fresh.store.outbox.claim(10, Duration::from_secs(1), NOW).await.expect("claimed").len(), 1);
    let (attempt, _) = fresh.store.attempts.get(attempt.id).await.expect("found");
    assert_eq!(attempt.submitted_at, Some(NOW));
    assert_eq!(fresh.store.results.list(exam, Some(student), FIRST).await.expect("listed").items, results);
}

async fn attempts_whose_time_is_over_are_found(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(3).await);
    let mut attempts = Vec::new();
    for (student, start) in students.iter().zip([5, 0, 10]) {
        let at = NOW.plus(Duration::from_secs(start));
        attempts.push(fresh.store.attempts.start(exam, *student, at).await.expect("started").1);
    }
    let overdue_after = async |skip, at| -> Vec<UserId> {
        let found = fresh.store.attempts.overdue(skip, 10, at).await.expect("asked");
        found.into_iter().map(|attempt| attempt.user_id).collect()
    };
    let overdue = async |at| overdue_after(0, at).await;
    assert!(overdue(Timestamp::from_millis(attempts[1].last_call().as_millis() - 1)).await.is_empty());
    assert_eq!(overdue(attempts[0].last_call()).await, [students[1], students[0]]);
    assert_eq!(overdue_after(1, attempts[0].last_call()).await, [students[0]]);
    submit(&fresh.store, &attempts[1]).await.expect("handed in");
    assert_eq!(overdue(attempts[2].last_call()).await, [students[0], students[2]]);
}
