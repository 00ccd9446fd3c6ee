//! Whatever is read from a request can be stored on either database, read back equal, and written again.

use examhall_core::{
    Answer, AnswerValue, Choice, EmailAddress, Exam, ExamStatus, Question, QuestionId, QuestionKind, Role, Timestamp,
};
use examhall_store::NewExam;
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use uuid::Uuid;

use crate::{Fresh, NOW, account, exams::exam, on_both};

on_both!(
    questions_of_any_text_and_number_are_read_back_equal,
    answers_of_any_text_and_number_are_read_back_equal,
    any_time_that_can_be_read_is_read_back_equal,
    addresses_and_names_are_read_back_equal,
);

const COUNT: usize = 300;

/// Number of values of a kind, the same ones each time.
fn draw<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    (0..COUNT).map(|_| strategy.new_tree(&mut runner).expect("a value").current()).collect()
}

fn text() -> impl Strategy<Value = String> {
    let odd =
        select(vec!["\u{feff}x", "\u{202e}x", "x\u{10ffff}", "\\u0000", "'; DROP TABLE exams; --", "\u{fffd}", "\"\\"]);
    prop_oneof![4 => "[^\0]{1,40}", 1 => odd.prop_map(ToOwned::to_owned)]
}

/// A number as JSON can write it.
fn number() -> impl Strategy<Value = f64> {
    let odd =
        vec![0.0, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::MIN, 0.1, 1.0 / 3.0, 9e15, -9_007_199_254_740_993.0];
    prop_oneof![
        2 => any::<f64>().prop_filter("finite", |number| number.is_finite()),
        1 => select(odd),
        1 => "-?[1-9][0-9]{0,20}(\\.[0-9]{1,20})?(e-?[0-9]{1,2})?".prop_map(|text| text.parse().expect("a number")),
    ]
}

fn kind() -> impl Strategy<Value = QuestionKind> {
    let choice = |id: &'static str| text().prop_map(move |text| Choice { id: id.into(), text, correct: id == "a" });
    prop_oneof![
        (choice("a"), choice("b")).prop_map(|(a, b)| QuestionKind::SingleChoice { choices: vec![a, b] }),
        (number(), number())
            .prop_map(|(answer, tolerance)| QuestionKind::Numeric { answer, tolerance: tolerance.abs() }),
        prop::collection::vec(text(), 1..4).prop_map(|accepted| QuestionKind::ShortText { accepted }),
    ]
}

async fn questions_of_any_text_and_number_are_read_back_equal(fresh: Fresh) {
    let drawn = draw((text(), kind(), 0.0..=1000.0_f64)).into_iter().enumerate();
    let questions: Vec<_> = drawn
        .map(|(n, (text, kind, points))| Question { id: QuestionId(Uuid::from_u128(n as u128)), text, points, kind })
        .collect();
    let new = NewExam { questions: questions.clone(), ..exam(fresh.author().await) };
    let id = fresh.store.exams.create(&new, NOW).await.expect("created").value.id;
    let read = fresh.store.questions.paper(id).await.expect("read").value.questions;
    assert_eq!(read, questions);
    for question in read {
        let written = serde_json::to_string(&question).expect("can be written");
        assert_eq!(serde_json::from_str::<Question>(&written).expect("reads back"), question);
    }
}

async fn answers_of_any_text_and_number_are_read_back_equal(fresh: Fresh) {
    let value = prop_oneof![
        any::<bool>().prop_map(AnswerValue::Bool),
        number().prop_map(AnswerValue::Number),
        text().prop_map(AnswerValue::Text),
    ];
    let drawn = draw((value, prop::option::of(prop::collection::vec(text(), 0..3)))).into_iter().enumerate();
    let answers: Vec<_> = drawn
        .map(|(n, (value, choice_ids))| Answer {
            question_id: QuestionId(Uuid::from_u128(n as u128)),
            value: choice_ids.is_none().then_some(value),
            choice_ids,
        })
        .collect();
    let (exam, student) = (crate::exams::new_exam(&fresh).await, fresh.students(1).await[0]);
    let attempt = fresh.store.attempts.start(exam, student, NOW).await.expect("started").1;
    fresh.store.attempts.save(attempt.id, student, i64::MAX, &answers, NOW).await.expect("saved");
    assert_eq!(fresh.store.attempts.get(attempt.id).await.expect("read").1.answers, answers);
}

async fn any_time_that_can_be_read_is_read_back_equal(fresh: Fresh) {
    let author = fresh.author().await;
    let year = select(vec!["0000", "0001", "1969", "1970", "2026", "9998", "9999"]);
    let time = (year, "(01-01|12-31)T(00:00:00|23:59:59|23:59:60)(\\.[0-9]{1,9})?(Z|[+-](0[0-9]|2[0-3]):[0-5][0-9])");
    let times = draw(time).into_iter().filter_map(|(year, rest)| format!("{year}-{rest}").parse::<Timestamp>().ok());
    let mut count = 0;
    for at in times.take(50).chain([Timestamp::MIN_TEXT, Timestamp::MAX_TEXT]) {
        let new = NewExam {
            opens_at: Some(at),
            closes_at: Some(at),
            questions: vec![],
            status: ExamStatus::Draft,
            ..exam(author)
        };
        let id = fresh.store.exams.create(&new, at).await.expect("created").value.id;
        let read = fresh.store.exams.get(id).await.expect("read").value;
        assert_eq!((read.opens_at, read.closes_at, read.created_at), (Some(at), Some(at), at));
        let written = serde_json::to_string(&read).expect("can be written");
        assert_eq!(serde_json::from_str::<Exam>(&written).expect("reads back"), read);
        count += 1;
    }
    assert!(count > 20, "{count}");
}

async fn addresses_and_names_are_read_back_equal(fresh: Fresh) {
    let local =
        prop_oneof!["[a-zA-Z0-9!#'*+/=?^_{|}~-]{1,20}", "[äößéü]{1,20}", "[हनद]\u{94d}[हनद]{1,9}", "[İıȺς]{1,9}é"];
    let typed = draw((local, "[a-z]{1,20}|[İȺäöΣς]{1,31}", text()));
    let mut count = 0;
    for (n, (local, label, name)) in typed.into_iter().enumerate() {
        let Ok(email) = EmailAddress::parse(&format!("{local}{n}@{label}.example")) else { continue };
        let mut new = account("ada@example.com", Role::Student);
        (new.email, new.name) = (email.clone(), name.clone());
        let id = fresh.store.accounts.create(&[new], NOW).await.expect("made")[0];
        let read = fresh.store.accounts.get(id).await.expect("read").value;
        assert_eq!((&read.email, &read.name), (&email, &name));
        let found = fresh.store.accounts.by_email(&email).await.expect("asked").expect("found");
        assert_eq!(found.id, id, "{email:?}");
        count += 1;
    }
    assert!(count > 100, "{count}");
}
