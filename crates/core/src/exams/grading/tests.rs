use proptest::prelude::*;

use super::*;

fn id(n: u128) -> QuestionId {
    QuestionId(uuid::Uuid::from_u128(n))
}

fn question(n: u128, points: f64, kind: QuestionKind) -> Question {
    Question { id: id(n), text: "?".into(), points, kind }
}

fn choices(right: &[&str], wrong: &[&str]) -> Vec<Choice> {
    let one = |id: &&str, correct| Choice { id: (*id).into(), text: (*id).into(), correct };
    right.iter().map(|id| one(id, true)).chain(wrong.iter().map(|id| one(id, false))).collect()
}

fn chosen(ids: &[&str]) -> Answer {
    let choice_ids = Some(ids.iter().map(|id| (*id).to_owned()).collect());
    Answer { question_id: id(1), choice_ids, value: None }
}

fn value(value: AnswerValue) -> Answer {
    Answer { question_id: id(1), choice_ids: None, value: Some(value) }
}

fn text(text: &str) -> Answer {
    value(AnswerValue::Text(text.into()))
}

/// Grades once.
fn grade(questions: &[Question], answers: &[Answer], pass_mark: u8) -> Grade {
    AnswerKey::new(questions).grade(answers, pass_mark)
}

/// The share that `answer` earns of a question worth 1.
fn check(kind: &QuestionKind, answer: Answer, share: f64) {
    let answers = [answer];
    let graded = grade(&[question(1, 1.0, kind.clone())], &answers, 50);
    assert!((graded.marks[0].earned - share).abs() < 1e-9, "{answers:?} to {kind:?}: {graded:?}");
}

#[test]
fn a_single_choice_is_right_or_wrong() {
    let kind = QuestionKind::SingleChoice { choices: choices(&["a"], &["b", "c"]) };
    check(&kind, chosen(&["a"]), 1.0);
    check(&kind, chosen(&["a", "a"]), 1.0);
    check(&kind, chosen(&["b"]), 0.0);
    check(&kind, chosen(&["a", "b"]), 0.0);
    check(&kind, chosen(&[]), 0.0);
    check(&kind, text("a"), 0.0);
}

#[test]
fn multiple_choice_is_all_or_nothing_without_part_credit() {
    let kind =
        |partial_credit| QuestionKind::MultipleChoice { choices: choices(&["a", "b"], &["c", "d"]), partial_credit };
    check(&kind(false), chosen(&["b", "a"]), 1.0);
    check(&kind(false), chosen(&["a"]), 0.0);
    check(&kind(true), chosen(&["a", "b"]), 1.0);
    check(&kind(true), chosen(&["a"]), 0.5);
    check(&kind(true), chosen(&["a", "b", "c"]), 0.5);
    check(&kind(true), chosen(&["a", "c"]), 0.0);
    check(&kind(true), chosen(&["a", "b", "c", "d"]), 0.0);
    check(&kind(true), chosen(&["c", "d"]), 0.0);
    check(&kind(true), chosen(&["a", "unknown"]), 0.0);
    check(&kind(true), chosen(&["a", "a"]), 0.5);
}

#[test]
fn true_or_false() {
    check(&QuestionKind::TrueFalse { correct: false }, value(AnswerValue::Bool(false)), 1.0);
    check(&QuestionKind::TrueFalse { correct: false }, value(AnswerValue::Bool(true)), 0.0);
    check(&QuestionKind::TrueFalse { correct: true }, text("true"), 0.0);
}

#[test]
fn a_number_is_right_within_its_tolerance() {
    let kind = QuestionKind::Numeric { answer: 0.3, tolerance: 0.1 };
    for (given, share) in [(0.3, 1.0), (0.4, 1.0), (0.2, 1.0), (0.4001, 0.0), (-0.3, 0.0), (f64::NAN, 0.0)] {
        check(&kind, value(AnswerValue::Number(given)), share);
    }
    check(&QuestionKind::Numeric { answer: 0.0, tolerance: 0.0 }, value(AnswerValue::Number(-0.0)), 1.0);
}

#[test]
fn a_short_text_is_right_whatever_its_case_and_spaces() {
    let kind = QuestionKind::ShortText { accepted: vec!["The Übermut".into(), "hubris".into()] };
    for right in ["the übermut", "  THE   ÜBERMUT\n", "Hubris", "the u\u{308}bermut", "hub\u{ad}ris\u{200b}", "ｈubris"]
    {
        check(&kind, text(right), 1.0);
    }
    for wrong in ["", "theübermut", "the ubermut", "hubris!"] {
        check(&kind, text(wrong), 0.0);
    }
}

#[test]
fn points_add_up_and_the_pass_mark_uses_shown_percentages() {
    let thirds: Vec<_> = (1..=3).map(|n| question(n, 1.0, QuestionKind::TrueFalse { correct: true })).collect();
    let right = |n| Answer { question_id: id(n), ..value(AnswerValue::Bool(true)) };
    let two = grade(&thirds, &[right(1), right(3), right(9)], 67);
    assert_eq!((two.score, two.max_score, two.percent, two.passed), (2.0, 3.0, 66.67, false));
    assert!(grade(&thirds, &[right(1), right(3)], 66).passed);
    let none = grade(&[], &[right(1)], 0);
    assert_eq!((none.percent, none.passed), (0.0, true));
}

#[test]
fn of_two_answers_to_one_question_the_last_counts() {
    let key = [question(1, 1.0, QuestionKind::TrueFalse { correct: true })];
    let answer = |given| value(AnswerValue::Bool(given));
    assert!(grade(&key, &[answer(false), answer(true)], 50).passed);
    assert!(!grade(&key, &[answer(true), answer(false)], 50).passed);
}

#[test]
fn a_number_that_comes_as_text_counts() {
    let kind = QuestionKind::Numeric { answer: 4.25, tolerance: 0.0 };
    for right in ["4.25", "4,25", " \u{ff14}.\u{ff12}\u{ff15} ", "+4.250"] {
        check(&kind, text(right), 1.0);
    }
    check(&kind, text("4.26"), 0.0);
    check(&kind, text("4,2,5"), 0.0);
}

#[test]
fn answers_that_cannot_be_graded_are_named() {
    let questions = [
        question(1, 1.0, QuestionKind::SingleChoice { choices: choices(&["a"], &["b"]) }),
        question(2, 1.0, QuestionKind::TrueFalse { correct: true }),
        question(3, 1.0, QuestionKind::Numeric { answer: 1.0, tolerance: 0.0 }),
        question(4, 1.0, QuestionKind::ShortText { accepted: vec!["x".into()] }),
    ];
    let key = AnswerKey::new(&questions);
    let to = |n, answer: Answer| Answer { question_id: id(n), ..answer };
    let nothing = Answer { question_id: id(1), choice_ids: None, value: None };
    for (n, answer, reason) in [
        (9, text("x"), Some(WhyUngraded::UnknownQuestion)),
        (1, text("a"), Some(WhyUngraded::WrongKind)),
        (1, chosen(&["a", "z"]), Some(WhyUngraded::UnknownChoice)),
        (2, text("true"), Some(WhyUngraded::WrongKind)),
        (2, chosen(&["a"]), Some(WhyUngraded::WrongKind)),
        (3, text("one"), Some(WhyUngraded::NotANumber)),
        (3, text("1,234"), Some(WhyUngraded::AmbiguousNumber)),
        (3, value(AnswerValue::Bool(true)), Some(WhyUngraded::WrongKind)),
        (4, value(AnswerValue::Number(1.0)), Some(WhyUngraded::WrongKind)),
        // Wrong, unanswered or right: all of them can be graded.
        (1, chosen(&["b"]), None),
        (1, chosen(&[]), None),
        (1, nothing, None),
        (3, text("1.0"), None),
        (3, text(" "), None),
        (4, text(""), None),
    ] {
        let found = key.ungraded(&[to(n, answer.clone())]);
        let expected: Vec<_> = reason.map(|reason| Ungraded { question_id: id(n), reason }).into_iter().collect();
        assert_eq!(found, expected, "{n} {answer:?}");
    }
    let twice = [to(2, text("true")), to(2, value(AnswerValue::Bool(true)))];
    assert!(key.ungraded(&twice).is_empty() && key.grade(&twice, 0).score > 0.0, "the last one counts");
}

fn any_kind() -> impl Strategy<Value = QuestionKind> {
    let ids = prop::collection::btree_set("[a-e]", 2..5);
    let choices = (ids, any::<u8>()).prop_map(|(ids, bits)| {
        let one = |(n, id): (usize, String)| Choice { id, text: "x".into(), correct: n == 0 || bits >> n & 1 == 1 };
        ids.into_iter().enumerate().map(one).collect::<Vec<_>>()
    });
    prop_oneof![
        choices.clone().prop_map(|choices| QuestionKind::SingleChoice { choices }),
        (choices, any::<bool>())
            .prop_map(|(choices, partial_credit)| QuestionKind::MultipleChoice { choices, partial_credit }),
        any::<bool>().prop_map(|correct| QuestionKind::TrueFalse { correct }),
        (-10.0..10.0, 0.0..2.0).prop_map(|(answer, tolerance)| QuestionKind::Numeric { answer, tolerance }),
        prop::collection::vec("[a-c]{1,2}", 1..3).prop_map(|accepted| QuestionKind::ShortText { accepted }),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let value = prop_oneof![
        any::<bool>().prop_map(AnswerValue::Bool),
        any::<f64>().prop_map(AnswerValue::Number),
        ".{0,5}".prop_map(AnswerValue::Text),
    ];
    let choice_ids = prop::option::of(prop::collection::vec("[a-f]", 0..5));
    (0_u128..8, choice_ids, prop::option::of(value)).prop_map(|(n, choice_ids, value)| Answer {
        question_id: id(n),
        choice_ids,
        value,
    })
}

/// Returns the correct answer.
fn perfect(question: &Question) -> Answer {
    let right = |choices: &[Choice]| {
        Some(choices.iter().filter(|choice| choice.correct).map(|choice| choice.id.clone()).collect())
    };
    let (choice_ids, value) = match &question.kind {
        QuestionKind::SingleChoice { choices } | QuestionKind::MultipleChoice { choices, .. } => (right(choices), None),
        QuestionKind::TrueFalse { correct } => (None, Some(AnswerValue::Bool(*correct))),
        QuestionKind::Numeric { answer, .. } => (None, Some(AnswerValue::Number(*answer))),
        QuestionKind::ShortText { accepted } => (None, Some(AnswerValue::Text(accepted[0].to_uppercase()))),
    };
    Answer { question_id: question.id, choice_ids, value }
}

proptest! {
    #[test]
    fn a_grade_is_between_nothing_and_everything(
        kinds in prop::collection::vec((any_kind(), 0.0..10.0), 0..8),
        answers in prop::collection::vec(any_answer(), 0..12),
        pass_mark in 0_u8..=100,
    ) {
        let questions: Vec<_> = (0..).zip(kinds).map(|(n, (kind, points))| question(n, points, kind)).collect();
        let graded = grade(&questions, &answers, pass_mark);
        prop_assert!((0.0..=100.0).contains(&graded.percent));
        prop_assert!(0.0 <= graded.score && graded.score <= graded.max_score);
        prop_assert_eq!(graded.passed, graded.percent >= f64::from(pass_mark));
        for (mark, question) in graded.marks.iter().zip(&questions) {
            prop_assert!(0.0 <= mark.earned && mark.earned <= question.points);
        }
    }

    #[test]
    fn who_answers_as_the_key_does_has_everything(kinds in prop::collection::vec((any_kind(), 0.5..10.0), 1..8)) {
        let questions: Vec<_> = (0..).zip(kinds).map(|(n, (kind, points))| question(n, points, kind)).collect();
        let answers: Vec<_> = questions.iter().map(perfect).collect();
        let graded = grade(&questions, &answers, 100);
        prop_assert_eq!((graded.percent, graded.passed), (100.0, true));
    }

    #[test]
    fn the_order_of_answers_does_not_matter(
        kinds in prop::collection::vec(any_kind(), 8),
        answers in prop::collection::hash_map(0_u128..8, any_answer(), 0..8),
    ) {
        let questions: Vec<_> = (0..).zip(kinds).map(|(n, kind)| question(n, 1.0, kind)).collect();
        let mut answers: Vec<_> = answers.into_iter().map(|(n, answer)| Answer { question_id: id(n), ..answer }).collect();
        let forward = grade(&questions, &answers, 50);
        answers.reverse();
        prop_assert_eq!(forward, grade(&questions, &answers, 50));
    }
}
