use std::{collections::HashMap, sync::Arc, time::Duration};

use examhall_core::{Answer, AnswerValue, Attempt, AttemptId, ExamId, ExamResult, Patch, QuestionId, Timestamp};
use examhall_store::{
    AttemptFilter, AttemptSort, Editor, Error, ExamChange, Grading, NewMail, PreparedPaper, ResultFilter, ResultSort,
    SortedPage, Store, Submission, Submitted,
};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{EDITOR, Fresh, NOW, exams::new_exam, on_both, outbox::mail};

on_both!(
    a_student_starts_as_often_as_allowed_and_one_at_a_time,
    of_many_starts_at_once_one_succeeds,
    only_an_open_exam_can_be_started,
    answers_are_replaced_by_those_with_a_higher_number_only,
    of_many_saves_at_once_the_highest_number_wins,
    answers_are_taken_until_the_end_of_grace_and_not_after_handing_in,
    handing_in_twice_at_once_gives_one_result_and_one_mail,
    changed_answers_are_merged_with_those_before,
    an_attempt_holds_no_endless_number_of_answers,
    merges_at_once_lose_nothing_that_was_stored,
    a_number_beyond_the_highest_counts_as_none,
    only_the_key_of_the_exams_version_grades,
);

pub(crate) const OLDEST: SortedPage<AttemptSort> =
    SortedPage { sort: AttemptSort::Started, is_descending: false, limit: 10, after: None };

fn right(n: u128) -> Answer {
    Answer { question_id: QuestionId(Uuid::from_u128(n)), choice_ids: Some(vec!["a".into()]), value: None }
}

/// Grades with the papers it was given.
#[derive(Default)]
pub(crate) struct Grader(HashMap<ExamId, Arc<PreparedPaper>>);

impl Grader {
    pub(crate) async fn load(&mut self, store: &Store, exam: ExamId) {
        let paper = store.questions.paper(exam).await.expect("found");
        self.0.insert(exam, Arc::new(paper.into()));
    }
}

impl Grading for Grader {
    fn paper(&self, exam: ExamId, version: i64) -> Option<Arc<PreparedPaper>> {
        self.0.get(&exam).filter(|paper| paper.version == version).cloned()
    }

    fn mail(&self, _: &Submission) -> NewMail {
        mail(5)
    }
}

pub(crate) async fn submit(store: &Store, attempt: &Attempt) -> Result<ExamResult, Error> {
    let mut grader = Grader::default();
    grader.load(store, attempt.exam_id).await;
    match store.attempts.submit(attempt.id, attempt.user_id, &grader, NOW).await? {
        Submitted::Done { result, .. } => Ok(result),
        needs @ Submitted::Needs(..) => unreachable!("{needs:?}"),
    }
}

async fn a_student_starts_as_often_as_allowed_and_one_at_a_time(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let start = async || fresh.store.attempts.start(exam, student, NOW).await;
    let (_, first) = start().await.expect("started");
    assert_eq!((first.exam_id, first.user_id, first.deadline), (exam, student, NOW.plus(Duration::from_mins(90))));
    assert!(matches!(start().await, Err(Error::AttemptOpen(id)) if id == first.id));
    submit(&fresh.store, &first).await.expect("submitted");
    let (_, second) = start().await.expect("the second of two");
    submit(&fresh.store, &second).await.expect("submitted");
    assert!(matches!(start().await, Err(Error::WrongState(_))), "none left");
    let filter = AttemptFilter { user: Some(student), ..AttemptFilter::default() };
    let mine = fresh.store.attempts.list(exam, &filter, &OLDEST).await.expect("listed");
    assert_eq!(mine.items.iter().map(|row| row.attempt.id).collect::<Vec<_>>(), [first.id, second.id]);
}

async fn of_many_starts_at_once_one_succeeds(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let starts = (0..20).map(|_| {
        let store = fresh.store.clone();
        tokio::spawn(async move { store.attempts.start(exam, student, NOW).await })
    });
    let (mut started, mut named) = (Vec::new(), Vec::new());
    for start in starts.collect::<Vec<_>>() {
        let answer = start.await.expect("no panic");
        match answer {
            Ok((_, attempt)) => started.push(attempt.id),
            Err(Error::AttemptOpen(open)) => named.push(open),
            other => unreachable!("{other:?}"),
        }
    }
    assert_eq!((started.len(), named), (1, vec![started[0]; 19]), "each of the others names the open one");
}

async fn only_an_open_exam_can_be_started(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let closes_at = NOW.plus(Duration::from_mins(10));
    let change = ExamChange { opens_at: Patch::Set(NOW), closes_at: Patch::Set(closes_at), ..ExamChange::default() };
    fresh.store.exams.change(exam, &change, EDITOR, NOW).await.expect("changed");
    let start = async |at| fresh.store.attempts.start(exam, student, at).await;
    assert!(matches!(start(Timestamp::from_millis(NOW.as_millis() - 1)).await, Err(Error::NotOpen)));
    assert!(matches!(start(closes_at).await, Err(Error::NotOpen)));
    assert_eq!(start(NOW).await.expect("started").1.deadline, closes_at, "no longer than the exam");
    fresh.store.exams.close(exam, Duration::ZERO, EDITOR, NOW).await.expect("closed");
    assert!(matches!(start(NOW).await, Err(Error::NotOpen)));
}

async fn answers_are_replaced_by_those_with_a_higher_number_only(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(2).await);
    let (_, attempt) = fresh.store.attempts.start(exam, students[0], NOW).await.expect("started");
    let later = NOW.plus(Duration::from_secs(1));
    let save = async |seq, answers: &[Answer], at| {
        let saved = fresh.store.attempts.save(attempt.id, students[0], seq, answers, at).await.expect("saved");
        assert_eq!(saved.exam, exam);
        (saved.seq, saved.saved_at)
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
    submit(&fresh.store, &attempt).await.expect("submitted");
    assert!(matches!(save(3, NOW).await, Err(Error::WrongState(_))));
}

async fn handing_in_twice_at_once_gives_one_result_and_one_mail(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let answers = [right(7), right(5)];
    fresh.store.attempts.save(attempt.id, student, 1, &answers, NOW).await.expect("saved");
    let submissions = (0..20).map(|_| {
        let (store, attempt) = (fresh.store.clone(), attempt.clone());
        tokio::spawn(async move { submit(&store, &attempt).await.expect("submitted") })
    });
    let mut results = Vec::new();
    for submission in submissions.collect::<Vec<_>>() {
        results.push(submission.await.expect("no panic"));
    }
    results.dedup();
    assert_eq!(results.len(), 1, "all get the same result");
    assert_eq!((results[0].score, results[0].percent, results[0].passed), (3.0, 66.67, true));
    assert_eq!(fresh.store.outbox.claim(10, Duration::from_secs(1), NOW).await.expect("claimed").len(), 1);
    let (attempt, _) = fresh.store.attempts.get(attempt.id).await.expect("found");
    assert_eq!(attempt.submitted_at, Some(NOW));
    let theirs = ResultFilter { user: Some(student), text: None };
    let page = SortedPage { sort: ResultSort::Graded, is_descending: false, limit: 9, after: None };
    let listed = fresh.store.results.list(exam, &theirs, &page).await.expect("listed").items;
    assert_eq!(listed.into_iter().map(|row| row.result).collect::<Vec<_>>(), results);
}

async fn changed_answers_are_merged_with_those_before(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let merge = async |seq, changed: &[Answer]| {
        fresh.store.attempts.merge(attempt.id, student, seq, changed, NOW).await.expect("saved").seq
    };
    let stored = async || fresh.store.attempts.get(attempt.id).await.expect("found").1.answers;
    let text = |n, text: &str| Answer { choice_ids: None, value: Some(AnswerValue::Text(text.into())), ..right(n) };
    let none = |n| Answer { choice_ids: None, ..right(n) };
    assert_eq!(merge(1, &[right(7), text(3, "a \"quote\" 'and' \u{e9}")]).await, 1);
    assert_eq!(merge(2, &[text(5, "x"), text(7, "y"), text(5, "z")]).await, 2);
    assert_eq!(stored().await, [text(3, "a \"quote\" 'and' \u{e9}"), text(7, "y"), text(5, "z")]);
    assert_eq!(merge(2, &[right(9)]).await, 2, "the same number changes nothing");
    assert_eq!(merge(3, &[none(7), none(99)]).await, 3);
    assert_eq!(merge(4, &[]).await, 4);
    assert_eq!(stored().await, [text(3, "a \"quote\" 'and' \u{e9}"), text(5, "z")]);
    fresh.store.attempts.save(attempt.id, student, 5, &[right(1)], NOW).await.expect("replaced");
    assert_eq!(merge(6, &[right(2)]).await, 6);
    assert_eq!(stored().await, [right(1), right(2)]);
}

async fn an_attempt_holds_no_endless_number_of_answers(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let merge = async |seq, first: u128| {
        let changed: Vec<_> = (first..first + 1000).map(right).collect();
        fresh.store.attempts.merge(attempt.id, student, seq, &changed, NOW).await
    };
    merge(1, 0).await.expect("saved");
    merge(2, 1000).await.expect("saved");
    assert!(matches!(merge(3, 2000).await, Err(Error::WrongState(_))));
    fresh.store.attempts.save(attempt.id, student, 3, &[right(1)], NOW).await.expect("all again");
    merge(4, 2000).await.expect("saved");
}

async fn merges_at_once_lose_nothing_that_was_stored(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let merges = (1..=50_i64).map(|seq| {
        let store = fresh.store.clone();
        let changed = [right(u128::try_from(seq).expect("small"))];
        tokio::spawn(async move {
            let saved = store.attempts.merge(attempt.id, student, seq, &changed, NOW).await.expect("saved");
            (saved.seq == seq).then_some(changed)
        })
    });
    let mut stored = Vec::new();
    for merge in merges.collect::<Vec<_>>() {
        stored.extend(merge.await.expect("no panic").into_iter().flatten());
    }
    let (_, saved) = fresh.store.attempts.get(attempt.id).await.expect("found");
    assert_eq!((saved.seq, saved.answers), (50, stored), "what was said to be stored is, in the order of its numbers");
}

async fn only_the_key_of_the_exams_version_grades(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let mut grader = Grader::default();
    grader.load(&fresh.store, exam).await;
    let change = ExamChange { pass_mark: Some(1), ..ExamChange::default() };
    let editor = Editor { force: true, ..EDITOR };
    let version = fresh.store.exams.change(exam, &change, editor, NOW).await.expect("changed").version;
    let submit =
        async |grader: &Grader| fresh.store.attempts.submit(attempt.id, student, grader, NOW).await.expect("asked");
    assert_eq!(submit(&grader).await, Submitted::Needs(exam, version));
    assert!(fresh.store.attempts.get(attempt.id).await.expect("found").0.submitted_at.is_none());
    grader.load(&fresh.store, exam).await;
    assert!(matches!(submit(&grader).await, Submitted::Done { .. }));
}

async fn run(fresh: &Fresh, statement: &str) {
    let connection = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    connection.execute_unprepared(statement).await.expect("run");
    connection.close().await.expect("closed");
}

async fn a_number_beyond_the_highest_counts_as_none(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let save = async |seq| fresh.store.attempts.save(attempt.id, student, seq, &[], NOW).await.expect("saved").seq;
    assert_eq!(save(Attempt::MAX_SEQ).await, Attempt::MAX_SEQ);
    assert_eq!(save(1).await, Attempt::MAX_SEQ, "the highest is a number like others");
    run(&fresh, "UPDATE attempts SET seq = 9223372036854775807").await;
    assert_eq!(fresh.store.attempts.get(attempt.id).await.expect("found").1.seq, -1);
    assert_eq!((save(1).await, save(0).await, save(2).await), (1, 1, 2));
}
