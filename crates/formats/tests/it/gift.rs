//! GIFT.

use examhall_core::{Question, QuestionKind};
use examhall_formats::{Found, gift};
use proptest::prelude::*;

use crate::questions::{kept, multiple, nil, noted, numeric, questions, short, single, true_false};

fn read(file: &str) -> Found {
    gift::read(file, &mut nil)
}

/// The file holds these questions, and nothing that is not kept.
#[track_caller]
fn check(file: &str, expected: &[Question]) {
    let found = read(file);
    assert_eq!((found.notes.as_slice(), found.questions.as_slice()), (&[][..], expected), "{file}");
}

/// Line, pointer, and whether it is a loss, of all that the file holds too much or wrong.
#[track_caller]
fn check_notes(file: &str, expected: &[(usize, &str, bool)]) {
    let found = read(file);
    assert_eq!(noted(&found), expected, "{file}\n{:#?}", found.notes);
    assert!(found.notes.iter().all(|note| !note.detail.is_empty()));
}

#[test]
fn each_kind_is_read() {
    check(
        "// from a course\n\n\
         Who taught Alexander?{ =Aristotle ~Plato ~Socrates }\n\n\
         Which are primes?{\n\t~%50%2\n\t~%50%3\n\t~%-50%4\n\t~%-50%6\n}\n\n\
         The sun rises in the east.{T}\n\nThe sun is cold.{FALSE}\n\n\
         The capital of France?{=Paris =Lutetia}\n\nAnd of Italy?{Rome}\n\n\
         17 / 4?{#4.25:0.5}\n\nBetween 1 and 5{#1..5}\n\nA dozen?{# =%100%12:0 }\n",
        &[
            single("Who taught Alexander?", &["+Aristotle", "Plato", "Socrates"]),
            multiple("Which are primes?", &["+2", "+3", "4", "6"]),
            true_false("The sun rises in the east.", true),
            true_false("The sun is cold.", false),
            short("The capital of France?", &["Paris", "Lutetia"]),
            short("And of Italy?", &["Rome"]),
            numeric("17 / 4?", 4.25, 0.5),
            numeric("Between 1 and 5", 3.0, 2.0),
            numeric("A dozen?", 12.0, 0.0),
        ],
    );
}

#[test]
fn a_gap_stands_where_the_answer_stood() {
    check(
        "The answer is {=42 ~43}, says the book.\n\n{=Water} boils at 100 °C.\n\nTea {T}.",
        &[
            single("The answer is _____, says the book.", &["+42", "43"]),
            short("_____ boils at 100 °C.", &["Water"]),
            true_false("Tea _____.", true),
        ],
    );
}

#[test]
fn escapes_lines_and_comments_are_read() {
    let file = "\u{feff}Is \\{x \\: x \\= \\~x\\} \\#1 \\\\ or \\frac?{\r\n// no\r\n  =a\\=b\\\r\n  ~c\\nd\\}\r\n}\r\n  \r\n\
                Two\rlines{T}\r\r// only a comment\r\rLast{F}";
    check(
        file,
        &[
            single("Is {x : x = ~x} #1 \\ or \\frac?", &["+a=b\\", "c\nd}"]),
            true_false("Two\nlines", true),
            true_false("Last", false),
        ],
    );
}

#[test]
fn a_format_in_brackets_is_that_of_the_text() {
    check(
        "[html]<p>2 &lt; 3<br/>and</p>{=[plain]<b> ~x &amp; y}\n\n[plain]a &lt; b{T}\n\n[note] 1 &lt; 2{T}",
        &[single("2 < 3\nand", &["+<b>", "x & y"]), true_false("a &lt; b", true), true_false("[note] 1 < 2", true)],
    );
    check_notes(
        "[html]x<sup>2</sup>{T}\n\n[html]<img src\\=x>see{T}\n\n[markdown]*x*{T}",
        &[(1, "/questions/0/text", true), (3, "/questions/1/text", false), (5, "/questions/2/text", true)],
    );
}

#[test]
fn the_first_category_is_the_title_and_a_name_is_not_kept() {
    let found = read("$CATEGORY: $course$/top/Sums\n\n::Two::Two and two?{T}\n\n$CATEGORY: x\n\n::Q2::Three?{F}");
    assert_eq!(found.title.as_deref(), Some("Sums"));
    assert_eq!(found.questions, [true_false("Two and two?", true), true_false("Three?", false)]);
    assert_eq!(noted(&found), [(5, "/exam", true), (7, "/questions/1", true)]);
}

#[test]
fn feedback_and_weights_that_are_not_kept_are_named() {
    check_notes(
        "A{T#no#yes}\n\nB{=a#good\n~b#bad\n####all}\n\nC{=a =%50%b =%0%c#no}\n\nD{#=1:0#yes =%50%2:0 ~#no}\n\n\
         E{~%50%a ~%25%b ~c}\n\nF{=a ~%50%b}",
        &[
            (1, "/questions/0", true),
            (3, "/questions/1/choices/0", true),
            (4, "/questions/1/choices/1", true),
            (5, "/questions/1", true),
            (7, "/questions/2/accepted/2", true),
            (7, "/questions/2/accepted/1", true),
            (9, "/questions/3", true),
            (9, "/questions/3/answer", true),
            (9, "/questions/3/answer", true),
            (11, "/questions/4/choices/1", true),
            (11, "/questions/4/choices/2", true),
            (13, "/questions/5/choices/1", true),
        ],
    );
}

#[test]
fn every_fault_has_its_line() {
    check_notes(
        "An essay{}\n\nA description\n\nPairs{=a -> b =c -> d}\n\nNo end{=a\n\n\
         No beginning}\n\nTwo{=a} and {=b}\n\nBrace{=a{b}\n\n::Title\n\nlower{true}\n\nnumber{#four}\n\n\
         numbers{#=1 =2}\n\nstar{=*a*}\n\n{T}\n\none{=a\n~}\n\nbefore{a ~b}\n\nnone{#}\n\ntwice{=a =b ~c}\n\nw{=%50%a ~b}",
        &[
            (1, "/questions/0/type", false),
            (3, "/questions/1/type", false),
            (5, "/questions/2/type", false),
            (7, "/questions/3", false),
            (9, "/questions/4", false),
            (11, "/questions/5", false),
            (13, "/questions/6", false),
            (15, "/questions/7", false),
            (17, "/questions/8/correct", false),
            (19, "/questions/9/answer", false),
            (21, "/questions/10/answer", false),
            (23, "/questions/11/accepted/0", false),
            (25, "/questions/12/text", false),
            (28, "/questions/13/choices/1/text", false),
            (30, "/questions/14/choices", false),
            (32, "/questions/15/answer", false),
            (34, "/questions/16/choices", false),
            (36, "/questions/17/choices/0", false),
        ],
    );
    check_notes("", &[(1, "/questions", false)]);
    check_notes("// nothing\n\n$CATEGORY: x\n", &[(1, "/questions", false)]);
}

#[test]
fn a_file_has_at_most_a_thousand_questions_and_notes() {
    check_notes(&"Q{T}\n\n".repeat(1001), &[(2001, "/questions", false)]);
    let found = read(&"Q{\n=a#x\n~b#x\n}\n\n".repeat(1000));
    assert_eq!((found.notes.len(), found.notes[1000].is_loss), (1001, false));
}

#[test]
fn what_gift_cannot_hold_is_named_in_the_file() {
    let mut some =
        [multiple("Primes?", &["+2", "+3", "4"]), short("x ", &["a->b", "c*"]), short("y", &["a->b", "c->d"])];
    some[0].points = 2.5;
    if let QuestionKind::MultipleChoice { partial_credit, .. } = &mut some[0].kind {
        *partial_credit = false;
    }
    let file = gift::write("Sums / \\products", &some, &["/exam/durationMinutes".to_owned()]);
    let omitted: Vec<_> = file.lines().filter_map(|line| line.strip_prefix("// omitted: ")).collect();
    let pointers: Vec<_> = omitted.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        pointers,
        [
            "/exam/durationMinutes",
            "/questions/0/points",
            "/questions/0/partialCredit",
            "/questions/1/text",
            "/questions/1/accepted/0",
            "/questions/2/accepted/1",
        ]
    );
    let found = read(&file);
    assert_eq!((found.title.as_deref(), found.notes.len()), (Some("Sums / \\products"), 0), "{file}");
    assert_eq!(found.questions, [multiple("Primes?", &["+2", "+3", "4"]), short("x", &["c*"]), short("y", &["a->b"])]);
}

/// What GIFT keeps: every question is worth a point.
fn expected(some: &[Question]) -> Vec<Question> {
    some.iter().map(|one| Question { points: 1.0, ..kept(one) }).collect()
}

fn has_pair(one: &Question) -> bool {
    matches!(&one.kind, QuestionKind::ShortText { accepted } if accepted.iter().any(|text| text.contains("->")))
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(some in questions(), title in "[a-z/:\\\\$ ]{0,9}[a-z]") {
        let some: Vec<_> = some.into_iter().filter(|one| !has_pair(one)).chain([true_false("x", true)]).collect();
        let file = gift::write(&title, &some, &[]);
        let found = read(&file);
        prop_assert_eq!(&found.notes, &[], "{}", file);
        prop_assert_eq!(found.questions, expected(&some), "{}", file);
        prop_assert_eq!(found.title.as_deref(), Some(title.trim()));
    }

    #[test]
    fn a_single_pair_is_read_as_a_text(before in "[a-z~#=*\\\\]{0,4}", after in "[a-z~#=*\\\\]{0,4}") {
        let one = short("x", &[&format!("{before}->{after}")]);
        prop_assert_eq!(read(&gift::write("t", std::slice::from_ref(&one), &[])).questions, [one]);
    }

    #[test]
    fn no_text_breaks_it(file in "([a-cT0-9~=#{}:\\\\%\\[\\]*<>&;/.\n\r -]|->|::|####|//|%50%|[$]CATEGORY:|\\[html\\]|<b|&lt;|\n\n){0,60}") {
        let found = read(&file);
        prop_assert!(found.notes.iter().all(|note| note.line >= 1 && note.line <= file.len() + 1));
        let is_good = found.notes.iter().all(|note| note.is_loss);
        prop_assert!(!is_good || found.questions.iter().all(|question| question.faults().is_empty()));
        if is_good {
            let again = read(&gift::write("t", &found.questions, &[]));
            prop_assert_eq!(again.questions.len(), found.questions.len());
        }
    }

    #[test]
    fn no_string_breaks_it(file: String) {
        let _ = read(&file);
    }
}

#[test]
fn a_hostile_file_is_read_in_time_that_grows_with_it() {
    for piece in ["{", "}", "~", "=", "#", "<a \"", "<!--", "&#", "%", "\\", "[", "::", "->", "\n\n{=", "a{~%"] {
        let _ = read(&piece.repeat(100_000 / piece.len()));
        let _ = read(&format!("[html]x{{={}}}", piece.repeat(50_000 / piece.len())));
    }
}
