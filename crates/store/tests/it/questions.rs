use examhall_core::{ExamId, QuestionId, QuestionKind};
use examhall_store::{AuditFilter, Edit, Editor, Error, Page};
use uuid::Uuid;

use crate::{
    EDITOR, Fresh, NOW,
    exams::{new_exam, question},
    on_both,
};

on_both!(
    questions_are_added_changed_replaced_and_removed_in_order,
    every_change_raises_the_version_of_the_exam,
    what_does_not_fit_changes_nothing,
    once_students_have_begun_only_force_changes_questions_and_is_recorded,
);

fn id(n: u128) -> QuestionId {
    QuestionId(Uuid::from_u128(n))
}

async fn ids(fresh: &Fresh, exam: ExamId) -> Vec<u128> {
    let paper = fresh.store.questions.paper(exam).await.expect("found").value;
    paper.questions.iter().map(|question| question.id.0.as_u128()).collect()
}

async fn questions_are_added_changed_replaced_and_removed_in_order(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let edit = async |edit| fresh.store.questions.edit(exam, edit, EDITOR, NOW).await.expect("edited").touched;
    assert_eq!(edit(Edit::Add(question(4))).await, [id(4)]);
    assert_eq!(ids(&fresh, exam).await, [7, 3, 5, 4]);
    assert_eq!(edit(Edit::Remove(id(3))).await, [id(3)]);
    let mut changed = question(5);
    changed.kind = QuestionKind::Numeric { answer: 4.25, tolerance: 0.5 };
    edit(Edit::Change(changed.clone())).await;
    assert_eq!(fresh.store.questions.get(id(5)).await.expect("found").value.1, changed);
    assert_eq!(ids(&fresh, exam).await, [7, 5, 4]);
    let mut touched = edit(Edit::Replace(vec![question(9), question(4)])).await;
    touched.sort_unstable();
    assert_eq!(touched, [4, 4, 5, 7, 9].map(id));
    assert_eq!(ids(&fresh, exam).await, [9, 4]);
}

async fn every_change_raises_the_version_of_the_exam(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let edit = async |expected, edit| {
        fresh.store.questions.edit(exam, edit, Editor { expected, ..EDITOR }, NOW).await.map(|edited| edited.version)
    };
    assert_eq!(edit(Some(1), Edit::Add(question(4))).await.expect("at version 1"), 2);
    let refused = edit(Some(1), Edit::Add(question(6))).await;
    assert!(matches!(refused, Err(Error::VersionMismatch { current: 2 })), "{refused:?}");
    assert_eq!(edit(None, Edit::Remove(id(4))).await.expect("at any version"), 3);
    assert_eq!(fresh.store.exams.sheet(exam).await.expect("found").1.version, 3);
    assert_eq!(fresh.store.questions.student_view(id(7)).await.expect("found").version, 3);
}

async fn what_does_not_fit_changes_nothing(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let author = fresh.store.exams.get(exam).await.expect("found").value.author_id;
    let mut other = crate::exams::exam(author);
    other.questions = vec![question(8)];
    let other = fresh.store.exams.create(&other, NOW).await.expect("created").value.id;
    let edit = async |exam, edit| fresh.store.questions.edit(exam, edit, EDITOR, NOW).await;
    assert!(matches!(edit(exam, Edit::Replace(vec![question(8)])).await, Err(Error::IdTaken)));
    assert!(matches!(edit(exam, Edit::Remove(id(8))).await, Err(Error::NotFound)));
    assert!(matches!(edit(exam, Edit::Change(question(8))).await, Err(Error::NotFound)));
    assert!(matches!(edit(ExamId(Uuid::nil()), Edit::Add(question(1))).await, Err(Error::NotFound)));
    assert_eq!((ids(&fresh, exam).await, ids(&fresh, other).await), (vec![7, 3, 5], vec![8]));
    assert_eq!(fresh.store.exams.get(exam).await.expect("found").version, 1);
}

async fn once_students_have_begun_only_force_changes_questions_and_is_recorded(fresh: Fresh) {
    let (exam, student) = (new_exam(&fresh).await, fresh.students(1).await[0]);
    fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let edit =
        async |force| fresh.store.questions.edit(exam, Edit::Remove(id(3)), Editor { force, ..EDITOR }, NOW).await;
    assert!(matches!(edit(false).await, Err(Error::QuestionsLocked)));
    let recorded = async || {
        let filter = AuditFilter { exam: Some(exam), ..AuditFilter::default() };
        let listed = fresh.store.audit.list(&filter, Page { limit: 9, after: None }).await.expect("listed");
        listed.items.into_iter().filter(|entry| entry.action != "create exam").collect::<Vec<_>>()
    };
    assert_eq!(recorded().await, []);
    edit(true).await.expect("forced");
    let [entry] = &recorded().await[..] else { unreachable!("one change") };
    assert_eq!((entry.action.as_str(), entry.actor_id, entry.at), ("remove questions", EDITOR.user, NOW));
    let (before, after) = (entry.before.clone().expect("a question"), entry.after.clone().expect("a version"));
    assert_eq!(before["questions"][0]["text"], "question 3");
    assert_eq!(after, serde_json::json!({"version": 2, "forced": true}));
    assert!(matches!(fresh.store.exams.delete(exam, EDITOR, NOW).await, Err(Error::WrongState(_))));
}
