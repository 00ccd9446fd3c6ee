use std::time::Duration;

use examhall_core::{
    Admission, Choice, ExamId, ExamStatus, PaperPolicy, Patch, Question, QuestionId, QuestionKind, ResultPolicy, Role,
    Timestamp, UserId, Viewer,
};
use examhall_store::{Error, ExamChange, ExamFilter, ExamSort, NewExam, Position, SortedPage};
use sea_orm::ConnectionTrait;

use crate::{EDITOR, Fresh, NOW, at, on_both};

on_both!(
    a_sheet_has_its_questions_in_order_and_no_key,
    a_paper_holds_its_exam_whole_with_and_without_questions,
    a_change_raises_the_version_and_leaves_the_rest,
    a_change_of_an_old_version_is_refused,
    what_is_not_there_is_not_found,
    lists_come_in_pages_and_hide_drafts_of_others,
    an_exam_goes_from_draft_to_closed_and_back,
    an_exam_that_nobody_began_can_be_deleted,
    a_row_that_cannot_be_read_takes_no_list_down,
);

pub(crate) fn question(n: u128) -> Question {
    let choices = vec![Choice { id: "a".into(), text: format!("planted {n}"), correct: true }];
    Question {
        id: QuestionId(uuid::Uuid::from_u128(n)),
        text: format!("question {n}"),
        points: 1.5,
        kind: QuestionKind::SingleChoice { choices },
    }
}

pub(crate) fn exam(author_id: UserId) -> NewExam {
    NewExam {
        author_id,
        title: "Algebra".into(),
        description: "Sums".into(),
        duration_minutes: 90,
        max_attempts: 2,
        pass_mark: 50,
        opens_at: None,
        closes_at: None,
        shuffle: false,
        paper: PaperPolicy::AfterStart,
        results: Some(ResultPolicy::OnSubmit),
        show_marks: false,
        review: false,
        access: Admission::Open,
        access_code: None,
        status: ExamStatus::Published,
        questions: [7, 3, 5].map(question).into(),
    }
}

pub(crate) async fn new_exam(fresh: &Fresh) -> ExamId {
    let exam = exam(fresh.author().await);
    fresh.store.exams.create(&exam, NOW).await.expect("created").value.id
}

async fn a_sheet_has_its_questions_in_order_and_no_key(fresh: Fresh) {
    let id = new_exam(&fresh).await;
    let (exam, sheet) = fresh.store.exams.sheet(id).await.expect("found");
    assert_eq!((exam.title.as_str(), exam.status, sheet.version), ("Algebra", ExamStatus::Published, 1));
    let texts: Vec<_> = sheet.questions.iter().map(|question| question.text.as_str()).collect();
    assert_eq!(texts, ["question 7", "question 3", "question 5"]);
    assert!(!serde_json::to_string(&sheet).expect("JSON").contains("correct"));
}

async fn a_paper_holds_its_exam_whole_with_and_without_questions(fresh: Fresh) {
    let author = fresh.author().await;
    for questions in [exam(author).questions, vec![]] {
        let new = NewExam { questions: questions.clone(), ..exam(author) };
        let created = fresh.store.exams.create(&new, NOW).await.expect("created");
        let paper = fresh.store.questions.paper(created.value.id).await.expect("found");
        assert_eq!((paper.version, &paper.value.exam), (1, &created.value));
        assert_eq!(paper.value.questions, questions);
        let (shown, sheet) = fresh.store.exams.sheet(created.value.id).await.expect("found");
        assert_eq!((shown, sheet.questions.len()), (created.value, questions.len()));
    }
    assert!(matches!(fresh.store.questions.paper(ExamId(uuid::Uuid::nil())).await, Err(Error::NotFound)));
}

async fn a_change_raises_the_version_and_leaves_the_rest(fresh: Fresh) {
    let id = new_exam(&fresh).await;
    let later = Timestamp::from_millis(NOW.as_millis() + 5);
    let change = ExamChange { title: Some("Logic".into()), closes_at: Patch::Set(later), ..ExamChange::default() };
    let changed = fresh.store.exams.change(id, &change, EDITOR, later).await.expect("changed");
    assert_eq!(changed, fresh.store.exams.get(id).await.expect("found"));
    let exam = changed.value;
    assert_eq!((changed.version, exam.title.as_str(), exam.description.as_str()), (2, "Logic", "Sums"));
    assert_eq!((exam.closes_at, exam.created_at, exam.updated_at), (Some(later), NOW, later));
    let undo = ExamChange { closes_at: Patch::Clear, ..ExamChange::default() };
    assert_eq!(fresh.store.exams.change(id, &undo, EDITOR, later).await.expect("changed").value.closes_at, None);
    assert_eq!(fresh.store.exams.sheet(id).await.expect("found").1.version, 3);
}

/// The newest exams.
pub(crate) const NEWEST: SortedPage<ExamSort> =
    SortedPage { sort: ExamSort::Created, is_descending: true, limit: 20, after: None };

async fn a_change_of_an_old_version_is_refused(fresh: Fresh) {
    let id = new_exam(&fresh).await;
    let change = ExamChange { title: Some("Logic".into()), ..ExamChange::default() };
    fresh.store.exams.change(id, &change, at(1), NOW).await.expect("at version 1");
    let refused = fresh.store.exams.change(id, &change, at(1), NOW).await;
    assert!(matches!(refused, Err(Error::VersionMismatch { current: 2 })), "{refused:?}");
}

async fn what_is_not_there_is_not_found(fresh: Fresh) {
    let nobody = ExamId(uuid::Uuid::nil());
    assert!(matches!(fresh.store.exams.get(nobody).await, Err(Error::NotFound)));
    assert!(matches!(fresh.store.exams.sheet(nobody).await, Err(Error::NotFound)));
    let refused = fresh.store.exams.change(nobody, &ExamChange::default(), EDITOR, NOW).await;
    assert!(matches!(refused, Err(Error::NotFound)));
}

async fn lists_come_in_pages_and_hide_drafts_of_others(fresh: Fresh) {
    let author = fresh.author().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let status = if n == 2 { ExamStatus::Draft } else { ExamStatus::Published };
        let new = NewExam { status, questions: vec![], ..exam(author) };
        ids.push(fresh.store.exams.create(&new, NOW).await.expect("created").value.id);
    }
    let list = async |id, role, limit, after: Option<uuid::Uuid>| {
        let after = after.map(|id| Position { key: None, id });
        let page = SortedPage { sort: ExamSort::Created, is_descending: true, limit, after };
        let listed = fresh.store.exams.list(Viewer { id, role }, &ExamFilter::default(), &page).await.expect("listed");
        (listed.items.into_iter().map(|exam| exam.id).collect::<Vec<_>>(), listed.next.map(|next| next.id))
    };
    let other = UserId(uuid::Uuid::nil());
    let (first, next) = list(other, Role::Student, 3, None).await;
    assert_eq!((first, next), (vec![ids[4], ids[3], ids[1]], Some(ids[1].0)));
    assert_eq!(list(other, Role::Student, 3, next).await, (vec![ids[0]], None));
    ids.reverse();
    assert_eq!(list(author, Role::Author, 5, None).await, (ids.clone(), None));
    assert_eq!(list(other, Role::Admin, 5, None).await.0, ids);
}

async fn an_exam_goes_from_draft_to_closed_and_back(fresh: Fresh) {
    let draft = NewExam { status: ExamStatus::Draft, questions: vec![], ..exam(fresh.author().await) };
    let id = fresh.store.exams.create(&draft, NOW).await.expect("created").value.id;
    let exams = &fresh.store.exams;
    let publish = async || exams.publish(id, EDITOR, NOW).await;
    let close = async || exams.close(id, Duration::ZERO, EDITOR, NOW).await.map(|closed| closed.exam);
    let reopen = async || exams.reopen(id, Patch::Keep, EDITOR, NOW).await;
    assert!(matches!(publish().await, Err(Error::WrongState(_))), "no questions");
    assert!(matches!(close().await, Err(Error::WrongState(_))), "not published");
    assert!(matches!(reopen().await, Err(Error::WrongState(_))), "not published");
    fresh.store.questions.edit(id, examhall_store::Edit::Add(question(1)), at(1), NOW).await.expect("added");
    let published = publish().await.expect("published");
    assert_eq!((published.version, published.value.status), (3, ExamStatus::Published));
    assert_eq!(publish().await.expect("it is").version, 3, "twice is once");
    assert_eq!(close().await.expect("closed").value.status, ExamStatus::Closed);
    assert_eq!(close().await.expect("it is").version, 4, "twice is once");
    assert!(matches!(publish().await, Err(Error::WrongState(_))), "it has students");
    let reopened = reopen().await.expect("reopened");
    assert_eq!((reopened.version, reopened.value.status), (5, ExamStatus::Published));
    assert_eq!(reopen().await.expect("it is").version, 5, "twice is once");
}

async fn an_exam_that_nobody_began_can_be_deleted(fresh: Fresh) {
    let id = new_exam(&fresh).await;
    assert!(matches!(fresh.store.exams.delete(id, at(9), NOW).await, Err(Error::VersionMismatch { current: 1 })));
    fresh.store.exams.delete(id, at(1), NOW).await.expect("deleted");
    assert!(matches!(fresh.store.exams.delete(id, EDITOR, NOW).await, Err(Error::NotFound)));
    assert!(matches!(fresh.store.questions.get(QuestionId(uuid::Uuid::from_u128(7))).await, Err(Error::NotFound)));
}

async fn a_row_that_cannot_be_read_takes_no_list_down(fresh: Fresh) {
    let author = fresh.author().await;
    let viewer = Viewer { id: author, role: Role::Author };
    let connection = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    for (title, set) in [
        ("bad", "status = 'unheard of'"),
        ("odd", "closes_at = 253402318799000, opens_at = -62167305540000, duration_minutes = -1, pass_mark = 1000"),
    ] {
        let new = NewExam { title: title.into(), questions: vec![], ..exam(author) };
        fresh.store.exams.create(&new, NOW).await.expect("created");
        let statement = format!("UPDATE exams SET {set} WHERE title = '{title}'");
        connection.execute_unprepared(&statement).await.expect("changed");
    }
    let listed = fresh.store.exams.list(viewer, &ExamFilter::default(), &NEWEST).await.expect("listed").items;
    let [shown] = &listed[..] else { unreachable!("{listed:?}") };
    let shown = serde_json::to_value(shown).expect("can be written");
    assert_eq!((&shown["closesAt"], &shown["passMark"]), (&"9999-12-31T23:59:59.999Z".into(), &100.into()));
    assert_eq!((&shown["opensAt"], &shown["durationMinutes"]), (&"0000-01-01T00:00:00.000Z".into(), &0.into()));
}
