//! Every mail that passes `EmailJob::check` becomes a valid message with the same content.

use examhall_core::{EmailAddress, EmailJob, Recipients};
use mail_parser::MessageParser;
use proptest::prelude::*;

use super::*;

fn composed(job: &EmailJob) -> PreparedMail {
    let from = "Examhall <no-reply@exams.example>".parse().expect("a mailbox");
    let author = Author { from, dkim: None, staging: Staging::default(), return_path: None, is_for_postmark: false };
    let identity = Identity { id: "m-018f4e3a-0000-7000-8000-000000000001", timestamp: 1_795_424_400_000 };
    let addresses = Addresses::of(job, &author.from, &author.staging).expect("addresses");
    prepare(job, &identity, &addresses, 1_795_424_400_000, &author).expect("a queued mail can be sent")
}

/// Checks a message against RFC 5322 and RFC 5321, and that a reader sees the queued content.
fn check(job: &EmailJob) {
    assert_eq!(job.check(), Ok(()), "a mail that is queued");
    let prepared = composed(job);
    let raw = &prepared.bytes;
    for (n, byte) in raw.iter().enumerate() {
        assert!(*byte != b'\n' || n > 0 && raw[n - 1] == b'\r', "a bare LF");
        assert!(*byte != b'\r' || raw.get(n + 1) == Some(&b'\n'), "a bare CR");
        assert!(*byte != 0, "NUL");
    }
    let text = String::from_utf8(raw.clone()).expect("UTF-8");
    let lines: Vec<_> = text.split("\r\n").collect();
    assert!(lines.iter().all(|line| line.len() <= 998), "a line that is too long");
    let head = text.split("\r\n\r\n").next().expect("a head");
    assert!(head.split("\r\n").all(|line| !line.trim().is_empty()), "a line of blanks:\n{head}");
    assert!(head.split("\r\n").all(|line| !line.contains("=?utf-8?b?") || line.len() <= 76), "RFC 2047, 2:\n{head}");

    let read = MessageParser::default().parse(raw).expect("a message");
    assert_eq!(read.subject(), Some(job.subject.as_str()), "{head}");
    let ends = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned();
    assert_eq!(ends(&read.body_html(0).expect("HTML")), ends(&job.html));
    if let Some(text) = &job.text {
        assert_eq!(ends(&read.body_text(0).expect("a text")), ends(text));
    }
    let to: Vec<_> = prepared.to.iter().map(ToString::to_string).collect();
    let queued: Vec<_> = [&job.to, &job.cc, &job.bcc].iter().flat_map(|one| one.0.clone()).collect();
    let queued: Vec<_> = queued.iter().map(|one| EmailAddress::parse(one).expect("an address")).collect();
    assert_eq!(to, queued.iter().map(EmailAddress::as_str).collect::<Vec<_>>());
}

fn job(subject: &str, html: &str) -> EmailJob {
    EmailJob { to: "zoe@example.com".into(), subject: subject.into(), html: html.into(), ..EmailJob::default() }
}

#[test]
fn longest_subjects_of_any_script_are_folded() {
    for subject in [
        "字".repeat(500),
        "🎓".repeat(500),
        "x".repeat(500),
        "👩\u{200d}🎓".repeat(166),
        "नमस्ते".repeat(83),
        format!("{}é", "x".repeat(499)),
        format!("é {}", "x".repeat(498)),
        format!("x{}x", " ".repeat(498)),
        format!(" {} ", "a b".repeat(166)),
        "ab ".repeat(166) + "字",
    ] {
        check(&job(&subject, "<p>x</p>"));
    }
}

#[test]
fn subject_of_one_long_ascii_word_is_folded() {
    let mut job = job("", "x");
    job.subject = "x".repeat(5000);
    let read = composed(&job).bytes;
    let read = MessageParser::default().parse(&read).expect("a message");
    assert_eq!(read.subject(), Some(job.subject.as_str()));
}

#[test]
fn all_kinds_of_line_ends_are_normalized() {
    for html in ["a\r.\rMAIL FROM:<x@y.example>\r", "a\r\r\nb\n\rc\n", "\r", "x\r\n.\r\n", "\n.\n"] {
        check(&EmailJob { text: Some(html.into()), ..job("s", html) });
    }
}

#[test]
fn addresses_that_lettre_refuses_are_accepted() {
    for local in ["हिन्दी", "ไทย", "zoë", "o'brien/x=1", "用户1"] {
        check(&EmailJob { cc: format!("{local}@exämple.example").as_str().into(), ..job("s", "x") });
        let named = EmailJob { to: format!("Zoë ✓ <{local}@b.example>").as_str().into(), ..job("s", "x") };
        assert_eq!(composed(&named).to[0].to_string(), format!("{local}@b.example"));
    }
}

#[test]
fn fifty_of_the_longest_addresses_fit() {
    let address = |n: usize| format!("{n:02}{}@{2}.{2}.{}.example", "a".repeat(62), "b".repeat(53), "c".repeat(63));
    check(&EmailJob { to: Recipients((0..50).map(address).collect()), ..job("s", "x") });
}

/// Text of many scripts, with characters that break naive code.
fn text(size: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-zA-Z0-9.,:;<>@\"'()\\\\_?=!&%-]{1,12}",
        3 => "\\PC{1,6}",
        2 => " {1,3}",
        1 => "[äßéÖ字🎓👩\u{200d}क्षि]{1,40}",
        1 => "[a-z]{60,90}",
    ];
    prop::collection::vec(piece, size).prop_map(|pieces| pieces.concat())
}

fn body() -> impl Strategy<Value = String> {
    let end = prop::sample::select(vec!["\n", "\r\n", "\r", "\n\n", ".", "\r.\r", "\r\n.\r\n", " \n", "From ", "--"]);
    prop::collection::vec((text(0..8), end), 1..20)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect::<String>())
}

fn recipient() -> impl Strategy<Value = String> {
    let local = prop_oneof![
        3 => "[a-z0-9!#'*+/=?^_{|}~-]{1,20}(\\.[a-zA-Z0-9]{1,20})?",
        1 => "[äößéüñ]{1,20}|[жяёби]{2,20}я|[中文用户]{1,12}|[हनद]\u{94d}[हनद]{1,9}",
        1 => "\"[a-z0-9]{1,20}\"",
    ];
    (local, "[a-z][a-z0-9]{0,20}|[äöü]{1,10}|[жяёби]{1,10}|[中文用户]{1,9}")
        .prop_map(|(local, label)| format!(" {local}@{label}.example\n"))
}

proptest! {
    #[test]
    fn every_queued_mail_can_be_sent(
        to in prop::collection::vec(recipient(), 1..4),
        subject in text(1..60),
        html in body(),
        text in prop::option::of(body()),
    ) {
        // A reader decodes any word that looks encoded.
        let subject: String = subject.replace("=?", "").chars().take(EmailJob::MAX_SUBJECT).collect();
        let Ok(to) = EmailJob::parse_recipients(&Recipients(to)) else { return Ok(()) };
        let to = Recipients(to.into_iter().map(String::from).collect());
        let job = EmailJob { to, subject, html, text, ..EmailJob::default() };
        if job.check().is_ok() {
            check(&job);
        }
    }
}
