use examhall_core::{Choice, ExamId, ExamStatus, Patch, Question, QuestionId, QuestionKind, Timestamp};
use examhall_store::{Error, ExamChange, NewExam};

use crate::{Fresh, NOW, on_both};

on_both!(
    a_sheet_has_its_questions_in_order_and_no_key,
    a_change_raises_the_version_and_leaves_the_rest,
    a_change_of_an_old_version_is_refused,
    what_is_not_there_is_not_found,
);

fn question(n: u128) -> Question {
    let choices = vec![Choice { id: "a".into(), text: format!("planted {n}"), correct: true }];
    Question {
        id: QuestionId(uuid::Uuid::from_u128(n)),
        text: format!("question {n}"),
        points: 1.5,
        kind: QuestionKind::SingleChoice { choices },
    }
}

async fn new_exam(fresh: &Fresh) -> ExamId {
    let exam = NewExam {
        author_id: fresh.author().await,
        title: "Algebra".into(),
        description: "Sums".into(),
        duration_minutes: 90,
        status: ExamStatus::Published,
        questions: [7, 3, 5].map(question).into(),
    };
    fresh.store.exams.create(&exam, NOW).await.expect("created")
}

async fn a_sheet_has_its_questions_in_order_and_no_key(fresh: Fresh) {
    let id = new_exam(&fresh).await;
    let (exam, sheet) = fresh.store.exams.sheet(id).await.expect("found");
    assert_eq!((exam.title.as_str(), exam.status, sheet.version), ("Algebra", ExamStatus::Published, 1));
    let texts: Vec<_> = sheet.questions.iter().map(|question| question.text.as_str()).collect();
    assert_eq!(texts, ["question 7", "question 3", "question 5"]);
    assert!(!serde_json::to_string(&sheet).expect("JSON").contains("correct"));
}

async fn a_change_raises_the_version_and_leaves_the_rest(fresh: Fresh) {
    let id = new_exam(&fresh).await;
    let later = Timestamp::from_millis(NOW.as_millis() + 5);
    let change = ExamChange { title: Some("Logic".into()), closes_at: Patch::Set(later), ..ExamChange::default() };
    let changed = fresh.store.exams.change(id, &change, None, later).await.expect("changed");
    assert_eq!(changed, fresh.store.exams.get(id).await.expect("found"));
    let exam = changed.value;
    assert_eq!((changed.version, exam.title.as_str(), exam.description.as_str()), (2, "Logic", "Sums"));
    assert_eq!((exam.closes_at, exam.created_at, exam.updated_at), (Some(later), NOW, later));
    let undo = ExamChange { closes_at: Patch::Clear, ..ExamChange::default() };
    assert_eq!(fresh.store.exams.change(id, &undo, None, later).await.expect("changed").value.closes_at, None);
    assert_eq!(fresh.store.exams.sheet(id).await.expect("found").1.version, 3);
}

async fn a_change_of_an_old_version_is_refused(fresh: Fresh) {
    let id = new_exam(&fresh).await;
    let change = ExamChange { title: Some("Logic".into()), ..ExamChange::default() };
    fresh.store.exams.change(id, &change, Some(1), NOW).await.expect("at version 1");
    let refused = fresh.store.exams.change(id, &change, Some(1), NOW).await;
    assert!(matches!(refused, Err(Error::VersionMismatch { current: 2 })), "{refused:?}");
}

async fn what_is_not_there_is_not_found(fresh: Fresh) {
    let nobody = ExamId(uuid::Uuid::nil());
    assert!(matches!(fresh.store.exams.get(nobody).await, Err(Error::NotFound)));
    assert!(matches!(fresh.store.exams.sheet(nobody).await, Err(Error::NotFound)));
    let refused = fresh.store.exams.change(nobody, &ExamChange::default(), None, NOW).await;
    assert!(matches!(refused, Err(Error::NotFound)));
}
