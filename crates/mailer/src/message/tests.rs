use super::{body::MAX_ATTACHMENTS, *};
use examhall_core::{Attachment, Recipients};

fn job() -> EmailJob {
    EmailJob {
        to: "Zoë <zoe@example.com>".into(),
        subject: "Prüfung ✓".into(),
        html: "<p>Grüße</p>".into(),
        text: Some("Grüße".into()),
        ..EmailJob::default()
    }
}

const ADDED: i64 = 1_795_424_400_000;
const UUID: &str = "m-018f4e3a-0000-7000-8000-000000000001";

fn composed(job: &EmailJob) -> Result<PreparedMail, InvalidMail> {
    composed_as(job, UUID, ADDED)
}

fn composed_as(job: &EmailJob, id: &str, timestamp: i64) -> Result<PreparedMail, InvalidMail> {
    let from = "Examhall <no-reply@exams.example>".parse().expect("a mailbox");
    let author = Author { from, dkim: None, staging: Staging::default(), return_path: None, is_for_postmark: false };
    prepare(
        job,
        &Identity { id, timestamp },
        &Addresses::of(job, &author.from, &author.staging)?,
        ADDED + 60_000,
        &author,
    )
}

fn file(content: Vec<u8>) -> Attachment {
    Attachment { filename: Some("a.txt".into()), content, ..Attachment::default() }
}

fn refused(change: impl FnOnce(&mut EmailJob)) -> String {
    let mut job = job();
    change(&mut job);
    composed(&job).err().expect("must be refused").to_string()
}

#[test]
fn job_becomes_mail_with_fixed_id_date_and_boundary() {
    let prepared = composed(&job()).expect("a mail");
    assert_eq!(prepared.message_id, format!("<{UUID}@exams.example>"));
    insta::assert_snapshot!(String::from_utf8_lossy(&prepared.bytes).replace("\r\n", "\n"));
}

#[test]
fn job_with_invalid_timestamp_is_refused() {
    for timestamp in [-1, i64::MAX, 253_402_300_800_000] {
        let refused = composed_as(&job(), "7", timestamp).err().expect("refused");
        assert!(refused.to_string().starts_with("timestamp: "), "{refused}");
    }
}

#[test]
fn same_job_gives_the_same_bytes() {
    let mut job = job();
    job.attachments = vec![file(b"file".to_vec())];
    assert_eq!(composed(&job).expect("a mail").bytes, composed(&job).expect("a mail").bytes);
}

#[test]
fn bcc_is_in_the_envelope_and_not_in_the_mail() {
    let mut job = job();
    job.bcc = "secret@example.com".into();
    job.cc = "carl@example.com".into();
    let prepared = composed(&job).expect("a mail");
    let to: Vec<_> = prepared.to.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["zoe@example.com", "carl@example.com", "secret@example.com"]);
    let text = String::from_utf8_lossy(&prepared.bytes);
    assert!(text.contains("carl@example.com") && !text.contains("secret@example.com"));
}

#[test]
fn non_ascii_domain_is_written_in_ascii() {
    let mut job = job();
    job.to = "Ada <ada@prüfung.example>".into();
    let prepared = composed(&job).expect("a mail");
    assert_eq!(prepared.to[0].to_string(), "ada@xn--prfung-4ya.example");
}

#[test]
fn invalid_mail_is_refused_with_its_field() {
    assert!(refused(|job| job.to = Recipients(vec![])).starts_with("to: `to` names nobody"));
    assert!(refused(|job| job.to = Recipients(vec!["a@b.example".into(); 51])).contains("at most 50"));
    assert!(refused(|job| job.to = "nobody".into()).starts_with("to: not a mailbox"));
    assert!(refused(|job| job.to = "a@b.example\r\nBcc: x@y.example".into()).starts_with("to: contains a line break"));
    assert!(refused(|job| job.subject = "a\r\nBcc: x@y.example".into()).starts_with("subject: "));
    let word = "x".repeat(1000);
    assert!(refused(|job| job.headers = ("X-A", word.as_str()).into()).contains("a word of more than 900 bytes"));
    assert!(refused(|job| job.from = "x".into()).starts_with("from: "));
    assert!(refused(|job| job.reply_to = "x".into()).starts_with("replyTo: "));
    assert!(refused(|job| job.message_id = Some("<a>\r\nX: y".into())).starts_with("messageId: "));
    assert!(refused(|job| job.headers = ("Bcc", "x@y").into()).contains("cannot be set here"));
    assert!(refused(|job| job.headers = ("A b", "x").into()).contains("not a header name"));
    assert!(refused(|job| job.headers = ("X-A", "x\r\nBcc: y").into()).starts_with("headers: "));
    let half = vec![0; MAX_ATTACHMENTS / 2 + 1];
    assert!(refused(|job| job.attachments = vec![file(half.clone()), file(half)]).contains("more than 5242880 bytes"));
    let part = |change: fn(&mut Attachment)| {
        refused(|job| {
            job.attachments = vec![file(Vec::new())];
            change(&mut job.attachments[0]);
        })
    };
    assert!(part(|file| file.content_type = Some("png".into())).contains("\"png\" is not a media type"));
    assert!(part(|file| file.content_type = Some("multipart/mixed".into())).contains("is not supported"));
    assert!(part(|file| file.cid = Some("a b".into())).contains("is not a content id"));
    assert!(part(|file| file.content_disposition = Some("form-data".into())).contains("contentDisposition"));
    assert!(part(|file| file.headers = ("Content-Type", "x/y").into()).contains("cannot be set here"));
    assert!(part(|file| file.headers = ("X\r\nBcc", "x").into()).contains("is not a header name"));
    assert!(part(|file| file.filename = Some("a\r\nb".into())).contains("line break"));
    assert!(part(|file| (file.content, file.filename) = (vec![0], Some("a.eml".into()))).contains("without NUL"));
}

#[test]
fn header_names_follow_rfc_5322() {
    for name in ["X-A\r\nBcc", "X\r\n\r\n", "X\nFrom", "A:B", "A b", "é", "", "X\0", "\u{7f}"] {
        assert!(refused(|job| job.headers = (name, "x").into()).contains("is not a header name"), "{name:?}");
    }
    let mut job = job();
    job.headers = ("X!#$%&'*+-.^_`|~(){}/", "x").into();
    composed(&job).expect("all of RFC 5322's characters");
}

#[test]
fn each_address_gets_one_rcpt() {
    let mut job = job();
    job.to = "ada@example.com, Ada <ada@EXAMPLE.com>, ADA@example.com".into();
    (job.cc, job.bcc) = ("ada@example.com".into(), "ada@exämple.com, ada@xn--exmple-cua.com".into());
    let to: Vec<_> = composed(&job).expect("a mail").to.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["ada@example.com", "ada@xn--exmple-cua.com"]);
}

#[test]
fn text_cannot_forge_a_part() {
    let first = composed_as(&job(), "1", ADDED).expect("a mail").bytes;
    let first = String::from_utf8(first).expect("UTF-8");
    let boundary =
        first.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a boundary").to_owned();
    let mut forger = job();
    forger.text = Some(format!("--{boundary}\nContent-Type: text/html\n\n<a href=x>"));
    let mail = composed_as(&forger, "1", ADDED).expect("a mail").bytes;
    let read = mail_parser::MessageParser::default().parse(&mail).expect("a message");
    assert_eq!(read.parts.len(), 3, "the root, the text and the HTML");
    assert!(read.body_html(0).expect("HTML").contains("Grüße"));
}

/// The ratio of two sizes, since the machine is noisy.
#[test]
fn line_ends_take_linear_time() {
    let time = |lines: usize| {
        let job = EmailJob { html: "\n".repeat(lines), text: Some("x\r".repeat(lines)), ..job() };
        let run = || {
            let started = std::time::Instant::now();
            composed(&job).expect("a mail");
            started.elapsed()
        };
        (0..3).map(|_| run()).min().expect("several runs")
    };
    let (short, long) = (time(25_000), time(200_000));
    assert!(long < short * 24, "8 times the lines took {long:?} instead of {short:?}; quadratic would be 64 times");
}
