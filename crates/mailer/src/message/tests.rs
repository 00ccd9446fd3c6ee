use super::*;
use examhall_core::{AttachmentEncoding, Recipients};

fn job() -> EmailJob {
    EmailJob {
        to: "Zoë <zoe@example.com>".into(),
        subject: "Prüfung ✓".into(),
        html: "<p>Grüße</p>".into(),
        text: Some("Grüße".into()),
        ..EmailJob::default()
    }
}

fn composed(job: &EmailJob) -> Result<PreparedMail, InvalidMail> {
    let from = "Examhall <no-reply@exams.example>".parse().expect("a mailbox");
    prepare(job, "m-7", 1_795_424_400_000, &Author { from, dkim: None })
}

fn refused(change: impl FnOnce(&mut EmailJob)) -> String {
    let mut job = job();
    change(&mut job);
    composed(&job).err().expect("must be refused").to_string()
}

#[test]
fn job_becomes_mail_with_fixed_id_date_and_boundary() {
    let prepared = composed(&job()).expect("a mail");
    assert_eq!(prepared.message_id, "<m-7@exams.example>");
    insta::assert_snapshot!(String::from_utf8_lossy(&prepared.bytes).replace("\r\n", "\n"));
}

#[test]
fn message_id_of_a_numeric_job_id_contains_its_timestamp() {
    let from = "no-reply@exams.example".parse().expect("a mailbox");
    let prepared = prepare(&job(), "7", 1_795_424_400_000, &Author { from, dkim: None }).expect("a mail");
    assert_eq!(prepared.message_id, "<7.1795424400000@exams.example>");
}

#[test]
fn job_with_invalid_timestamp_is_refused() {
    for timestamp in [-1, i64::MAX, 253_402_300_800_000] {
        let from = "no-reply@exams.example".parse().expect("a mailbox");
        let refused = prepare(&job(), "m-7", timestamp, &Author { from, dkim: None }).err().expect("refused");
        assert!(refused.to_string().starts_with("timestamp: "), "{refused}");
    }
}

#[test]
fn same_job_gives_the_same_bytes() {
    let mut job = job();
    let content = BASE64_STANDARD.encode("file");
    let encoding = AttachmentEncoding::Base64;
    job.attachments = vec![Attachment { filename: "a.txt".into(), content, encoding, content_type: None }];
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
    assert!(refused(|job| job.headers = [("X-A".into(), word)].into()).contains("a word of more than 900 bytes"));
    assert!(refused(|job| job.from = Some("x".into())).starts_with("from: "));
    assert!(refused(|job| job.reply_to = Some("x".into())).starts_with("replyTo: "));
    assert!(refused(|job| job.message_id = Some("<a>\r\nX: y".into())).starts_with("messageId: "));
    assert!(refused(|job| job.headers = [("Bcc".into(), "x@y".into())].into()).contains("cannot be set here"));
    assert!(refused(|job| job.headers = [("A b".into(), "x".into())].into()).contains("not a header name"));
    assert!(refused(|job| job.headers = [("X-A".into(), "x\r\nBcc: y".into())].into()).starts_with("headers: "));
    let encoding = AttachmentEncoding::Base64;
    let file = |content: String| Attachment { filename: "a".into(), content, encoding, content_type: None };
    assert!(refused(|job| job.attachments = vec![file("%".into())]).contains("is not base64"));
    let half = BASE64_STANDARD.encode(vec![0; MAX_ATTACHMENTS / 2 + 1]);
    assert!(refused(|job| job.attachments = vec![file(half.clone()), file(half)]).contains("more than 5242880 bytes"));
}
