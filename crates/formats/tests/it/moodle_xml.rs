//! Moodle XML.

use examhall_core::{Question, QuestionKind};
use examhall_formats::{Found, moodle_xml};
use proptest::prelude::*;

use crate::questions::{kept, multiple, nil, noted, numeric, questions, short, single, true_false};

fn read(file: &str) -> Found {
    moodle_xml::read(file, &mut nil)
}

/// A question of this type on one line, with a text.
fn element(kind: &str, rest: &str) -> String {
    format!("<question type=\"{kind}\"><questiontext><text>A?</text></questiontext>{rest}</question>")
}

/// Line, pointer, and whether it is a loss, of all that a quiz with these lines holds too much or wrong.
#[track_caller]
fn check_notes(lines: &[String], expected: &[(usize, &str, bool)]) {
    let file = format!("<quiz>\n{}\n</quiz>", lines.join("\n"));
    let found = read(&file);
    assert_eq!(noted(&found), expected, "{file}\n{:#?}", found.notes);
    assert!(found.notes.iter().all(|note| !note.detail.is_empty()));
}

/// As Moodle 4 exports a question bank, with what it writes for each question.
const EXPORTED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<quiz>
<!-- question: 0  -->
  <question type="category">
    <category>
      <text>$course$/top/Default for Maths</text>
    </category>
    <info format="moodle_auto_format">
      <text></text>
    </info>
    <idnumber></idnumber>
  </question>

<!-- question: 12  -->
  <question type="multichoice">
    <name>
      <text>Which are primes?</text>
    </name>
    <questiontext format="html">
      <text><![CDATA[<p dir="ltr">Which are <br>primes?</p>]]></text>
    </questiontext>
    <generalfeedback format="html">
      <text></text>
    </generalfeedback>
    <defaultgrade>2.5000000</defaultgrade>
    <penalty>0.3333333</penalty>
    <hidden>0</hidden>
    <idnumber></idnumber>
    <single>false</single>
    <shuffleanswers>false</shuffleanswers>
    <answernumbering>abc</answernumbering>
    <showstandardinstruction>0</showstandardinstruction>
    <correctfeedback format="html">
      <text></text>
    </correctfeedback>
    <shownumcorrect/>
    <answer fraction="50" format="html">
      <text><![CDATA[<p>2 &lt; 3</p>]]></text>
      <feedback format="html">
        <text></text>
      </feedback>
    </answer>
    <answer fraction="50" format="plain_text">
      <text>3 &amp; <![CDATA[<5>]]></text>
    </answer>
    <answer fraction="-50">
      <text>4</text>
    </answer>
  </question>
  <question type="multichoice">
    <questiontext format="moodle_auto_format"><text>Line one
line two</text></questiontext>
    <answer fraction="100"><text>yes</text></answer>
    <answer fraction="0"><text>no</text></answer>
  </question>
  <question type="truefalse">
    <questiontext format="html"><text>The sun rises in the east.</text></questiontext>
    <answer fraction="0" format="moodle_auto_format"><text>true</text></answer>
    <answer fraction="100" format="moodle_auto_format"><text>false</text></answer>
  </question>
  <question type="shortanswer">
    <questiontext format="plain_text"><text>The <b>star</b> of "a"</text></questiontext>
    <usecase>0</usecase>
    <answer fraction="100" format="moodle_auto_format"><text>\*</text></answer>
    <answer fraction="100" format="moodle_auto_format"><text>Lut&#233;tia</text></answer>
  </question>
  <question type="numerical">
    <questiontext format="markdown"><text></text></questiontext>
    <answer fraction="100"><text>4.25</text><tolerance>0.5</tolerance></answer>
    <unitgradingtype>0</unitgradingtype>
    <unitpenalty>0.1000000</unitpenalty>
    <showunits>3</showunits>
    <unitsleft>0</unitsleft>
  </question>
</quiz>
"#;

#[test]
fn a_question_bank_of_moodle_is_read() {
    let file = EXPORTED
        .replace("The <b>star</b> of", "The &lt;b&gt; of")
        .replace("<questiontext format=\"markdown\"><text></text>", "<questiontext><text>17 / 4?</text>");
    let found = read(&file);
    assert_eq!((found.notes.as_slice(), found.title.as_deref()), (&[][..], Some("Default for Maths")));
    let mut primes = multiple("Which are\nprimes?", &["+2 < 3", "+3 & <5>", "4"]);
    primes.points = 2.5;
    let expected = [
        primes,
        single("Line one\nline two", &["+yes", "no"]),
        true_false("The sun rises in the east.", false),
        short("The <b> of \"a\"", &["*", "Lutétia"]),
        numeric("17 / 4?", 4.25, 0.5),
    ];
    assert_eq!(found.questions, expected);
}

#[test]
fn what_is_not_kept_is_named_with_its_line() {
    let answers = "<answer fraction=\"100\"><text>a</text></answer><answer><text>b</text></answer>";
    let more = |more: &str| element("multichoice", &format!("{answers}{more}"));
    let numeric = |rest: &str| {
        element("numerical", &format!("<answer fraction=\"100\"><text>1</text><tolerance>0</tolerance></answer>{rest}"))
    };
    check_notes(
        &[
            element("category", "<category><text>a</text></category>"),
            more("<name><text>Q1</text></name>"),
            more("<shuffleanswers>true</shuffleanswers>"),
            more("<hint><text>look</text></hint><correctfeedback><text></text></correctfeedback>"),
            more("<tags><tag><text>t</text></tag></tags>"),
            more("<hidden>1</hidden><idnumber>7</idnumber>"),
            element("shortanswer", "<usecase>1</usecase><answer fraction=\"100\"><text>a</text></answer>"),
            element(
                "truefalse",
                "<answer fraction=\"100\"><text>true</text><feedback><text>f</text></feedback></answer>",
            ),
            numeric("<units><unit><multiplier>1</multiplier><unit_name>m</unit_name></unit></units>"),
            element("category", "<category><text>b</text></category><info><text>about</text></info>"),
            numeric("<answer fraction=\"50\"><text>2</text></answer><answer fraction=\"0\"><text>*</text></answer>"),
        ],
        &[
            (3, "/questions/0", true),
            (4, "/questions/1", true),
            (5, "/questions/2", true),
            (6, "/questions/3", true),
            (7, "/questions/4", true),
            (7, "/questions/4", true),
            (8, "/questions/5/accepted", true),
            (9, "/questions/6", true),
            (10, "/questions/7", true),
            (11, "/exam", true),
            (11, "/exam", true),
            (12, "/questions/8/answer", true),
        ],
    );
}

#[test]
fn what_cannot_be_asked_is_named_one_by_one() {
    let right = |text: &str| format!("<answer fraction=\"100\">{text}</answer>");
    check_notes(
        &[
            element("essay", ""),
            element("matching", ""),
            element("cloze", ""),
            element("ddimageortext", ""),
            "<question><questiontext/></question>".to_owned(),
            "<info/>".to_owned(),
            element("truefalse", &right("<text>ja</text>")),
            element("truefalse", ""),
            element("numerical", &right("<text>four</text>")),
            element("numerical", &right("<text>4</text><tolerance>wide</tolerance>")),
            element("numerical", &format!("{}{}", right("<text>4</text>"), right("<text>5</text>"))),
            element("shortanswer", &right("<text>a*</text>")),
            element("shortanswer", &right("<text>a<b>c</b></text>")),
            element("shortanswer", "<answer fraction=\"half\"><text>a</text></answer>"),
            element("shortanswer", &format!("{}<defaultgrade>1,5</defaultgrade>", right("<text>a</text>"))),
            element("shortanswer", &format!("{}<defaultgrade>-1</defaultgrade>", right("<text>a</text>"))),
            "<question type='truefalse'><questiontext format='html'><text>a <![CDATA[<img src=\"@@PLUGINFILE@@/x.png\">]]></text>"
                .to_owned(),
            "<file name='x.png' encoding='base64'>aGk=</file></questiontext><answer fraction='100'><text>true</text></answer></question>"
                .to_owned(),
            "<question type='truefalse'><questiontext format='wiki'><text>a</text></questiontext>\
             <answer fraction='100'><text>true</text></answer></question>"
                .to_owned(),
        ],
        &[
            (2, "/questions/0/type", false),
            (3, "/questions/1/type", false),
            (4, "/questions/2/type", false),
            (5, "/questions/3/type", false),
            (6, "/questions/4/type", false),
            (7, "/questions", false),
            (8, "/questions/5/correct", false),
            (9, "/questions/6/correct", false),
            (10, "/questions/7/answer", false),
            (11, "/questions/8/answer", false),
            (12, "/questions/9/answer", false),
            (13, "/questions/10/accepted/0", false),
            (14, "/questions/11/accepted/0", false),
            (15, "/questions/12", false),
            (15, "/questions/12/accepted", false),
            (16, "/questions/13/points", false),
            (17, "/questions/14/points", false),
            (18, "/questions/15/text", false),
            (19, "/questions/15/text", false),
            (20, "/questions/16/text", false),
        ],
    );
}

#[test]
fn a_file_that_is_no_quiz_is_refused_as_a_whole() {
    let bomb = "<!DOCTYPE quiz [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\n<quiz>&b;</quiz>";
    let fetched = "<!DOCTYPE quiz SYSTEM \"file:///etc/passwd\"><quiz/>";
    let deep = format!("<quiz>{}", "<question>".repeat(100_000));
    let unfinished = format!("<quiz>\n{}", element("truefalse", ""));
    for (file, line) in [
        ("", 1),
        ("What is 2 + 2?{=4}", 1),
        ("<html/>", 1),
        ("<quiz/>", 1),
        (bomb, 1),
        (fetched, 1),
        (&deep, 1),
        (&unfinished, 2),
    ] {
        let found = read(file);
        assert_eq!((noted(&found), found.questions.len()), (vec![(line, "/questions", false)], 0), "{:?}", found.notes);
    }
}

#[test]
fn what_xml_cannot_hold_is_named_in_the_file() {
    let mut some = [multiple("a\u{1}b ", &["+x--y", "z"]), short("c", &["->"])];
    if let QuestionKind::MultipleChoice { partial_credit, .. } = &mut some[0].kind {
        *partial_credit = false;
    }
    let file = moodle_xml::write("Sums & </products>", &some, &["/exam/durationMinutes".to_owned()]);
    let omitted: Vec<_> = file.lines().filter_map(|line| line.strip_prefix("<!-- omitted: ")).collect();
    let pointers: Vec<_> = omitted.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        pointers,
        ["/exam/durationMinutes", "/questions/0/text", "/questions/0/text", "/questions/0/partialCredit"],
        "{file}"
    );
    let found = read(&file);
    assert_eq!((found.title.as_deref(), found.notes.len()), (Some("Sums & </products>"), 0), "{:?}", found.notes);
    assert_eq!(found.questions, [multiple("a\u{fffd}b", &["+x--y", "z"]), some[1].clone()]);
}

/// What XML keeps: it has no place for some characters.
fn expected(some: &[Question]) -> Vec<Question> {
    let held = |text: &str| -> String {
        let is_held = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
        text.chars().map(|c| if is_held(c) { c } else { '\u{fffd}' }).collect()
    };
    let mut some: Vec<_> = some.iter().map(kept).collect();
    for question in &mut some {
        question.text = held(&question.text);
        match &mut question.kind {
            QuestionKind::SingleChoice { choices } | QuestionKind::MultipleChoice { choices, .. } => {
                for choice in choices {
                    choice.text = held(&choice.text);
                }
            }
            QuestionKind::ShortText { accepted } => *accepted = accepted.iter().map(|text| held(text)).collect(),
            QuestionKind::TrueFalse { .. } | QuestionKind::Numeric { .. } => {}
        }
    }
    some
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(some in questions(), title in "[a-z/:&<\\\\$ ]{0,9}[a-z]") {
        let file = moodle_xml::write(&title, &some, &[]);
        let found = read(&file);
        prop_assert_eq!(&found.notes, &[], "{}", file);
        prop_assert_eq!(found.questions, expected(&some), "{}", file);
        prop_assert_eq!(found.title.as_deref(), Some(title.trim()));
    }

    #[test]
    fn no_file_breaks_it(pieces in prop::collection::vec(prop::sample::select(vec![
        "<quiz>", "</quiz>", "<question type=\"multichoice\">", "<question type='numerical'>", "</question>", "<answer>",
        "<answer fraction=\"50\">", "</answer>", "<text>", "</text>", "<questiontext format=\"html\">", "</questiontext>",
        "<![CDATA[", "]]>", "<!--", "-->", "&amp;", "&x;", "&#9;", "<b>", "a", "\n", "*", "4", "<", ">", "<?x", "?>", "\"",
        "<single>false</single>", "<tolerance>1</tolerance>", "<file/>", "<!DOCTYPE a>", "é",
    ]), 0..40)) {
        let file = pieces.concat();
        let found = read(&file);
        let is_good = found.notes.iter().all(|note| note.is_loss);
        prop_assert!(!is_good || found.questions.iter().all(|question| question.faults().is_empty()));
        let _ = read(&format!("<quiz><question type='shortanswer'>{file}</question></quiz>"));
    }

    #[test]
    fn no_string_breaks_it(file: String) {
        let _ = read(&file);
    }
}

#[test]
fn a_hostile_file_is_read_in_time_that_grows_with_it() {
    for piece in ["<quiz>", "<a/>", "&", "&amp;", "<!--", "<![CDATA[", "<a b=\"", "<a b='1' ", "\n<", "]]>"] {
        let _ = read(&piece.repeat(100_000 / piece.len()));
        let _ = read(&format!("<quiz>{}</quiz>", piece.repeat(100_000 / piece.len())));
    }
    let attributes = (0..20_000).map(|n| format!(" a{n}='x'")).collect::<Vec<_>>().concat();
    let _ = read(&format!("<quiz{attributes}/>"));
}
