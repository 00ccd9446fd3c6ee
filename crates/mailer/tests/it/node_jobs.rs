//! Jobs as Node programs write them: nodemailer composes each mail, too, and a reader must see the same.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
};

use mail_parser::{HeaderForm, HeaderName, HeaderValue, Message, MessageParser, MimeHeaders, PartType};
use serde_json::{Value, json};

use crate::Post;

/// The forms of each field. `from`, `to`, `subject` and `html` are added where absent.
#[expect(clippy::too_many_lines, reason = "a table")]
fn jobs() -> Vec<Value> {
    let png = json!({"filename": "dot.png", "content": "iVBORw0KGgo=", "encoding": "base64", "cid": "dot@exams"});
    let lines = format!("{}\r\n{}\n", "aGVsbG8g".repeat(9), "d29ybGQ=");
    vec![
        json!({}),
        // Absent in all its forms.
        json!({"cc": null, "bcc": null, "headers": null, "attachments": null, "class": null, "text": null, "from": null,
            "replyTo": null, "expiresAt": null, "messageId": null, "inReplyTo": null, "references": null, "list": null,
            "icalEvent": null, "alternatives": null, "priority": null, "sender": null, "date": null, "envelope": null}),
        json!({"cc": "", "bcc": [], "replyTo": "", "text": "", "messageId": "", "headers": {}, "attachments": [],
            "inReplyTo": "", "references": [], "list": {}, "icalEvent": "", "sender": "", "raw": "", "dsn": false}),
        json!({"text": "only text", "html": null}),
        json!({"text": "only text", "html": ""}),
        json!({"subject": null}),
        json!({"subject": ""}),
        json!({"subject": 7}),
        json!({"subject": "Prüfung: 100 % „gut“ 🎓"}),
        json!({"html": "<p>ü\r\n.\n</p>", "text": "ü\n.\n"}),
        // Addresses.
        json!({"to": "a@b.example, B <c@d.example>"}),
        json!({"to": "a@b.example; c@d.example"}),
        json!({"to": {"name": "Doe, Jane", "address": "jane@x.example"}}),
        json!({"to": ["a@b.example, c@d.example", ["e@f.example"], {"name": "Ñ", "address": "n@b.example"}, null, ""]}),
        json!({"to": {"name": "", "address": "jane@x.example"}, "cc": [{"address": "c@x.example"}]}),
        json!({"to": "jane@x.example (Jane)"}),
        json!({"to": "Support (Billing) <s@x.example>"}),
        json!({"to": "\"Doe, Jane\" <jane@x.example>, Jörg <joerg@x.example>"}),
        json!({"to": "Doe, Jane <jane@x.example>"}),
        json!({"to": "jane@work <jane@x.example>"}),
        json!({"to": "\"jane@x.example\""}),
        json!({"to": "Team: a@b.example, C <c@d.example>;"}),
        json!({"to": null, "bcc": "z@b.example"}),
        json!({"to": "undisclosed-recipients:;", "bcc": "z@b.example"}),
        json!({"to": "jane@prüfung.example"}),
        json!({"to": "a@b.example", "cc": "a@b.example", "bcc": ["a@b.example", "d@b.example"]}),
        json!({"from": "P <p@b.example>", "sender": "s@b.example", "replyTo": ["r@b.example", {"name": "S", "address": "s@b.example"}]}),
        json!({"from": {"name": "Exams", "address": "e@b.example"}, "replyTo": "q@b.example, r@b.example"}),
        // Headers.
        json!({"headers": {"X-Number": 7, "X-Zero": 0, "X-Empty": "", "X-Null": null, "X-False": false, "X-True": true}}),
        json!({"headers": {"X-Many": ["1", 2, ""], "X-Value": {"prepared": true, "value": "v"}, "X-Text": "größer als 3"}}),
        json!({"headers": [{"key": "X-Many", "value": "1"}, {"key": "X-Many", "value": 2}]}),
        json!({"headers": {"Reply-To": "r@b.example", "X-Long": "word ".repeat(300)}}),
        json!({"messageId": "abc@x.example", "inReplyTo": "abc@x.example", "references": ["a@x", "<b@x> c@x"]}),
        json!({"messageId": "<abd@x.example>", "inReplyTo": "<abc@x.example>", "references": "<a@x> <b@x>"}),
        json!({"priority": "high", "xMailer": "Exams 2"}),
        json!({"priority": "low"}),
        json!({"priority": 5}),
        json!({"list": {"unsubscribe": "http://x.example/u", "help": "h@x.example?subject=x", "post": [
            ["https://a.example", {"url": "b.example", "comment": "c (x)"}]], "id": {"url": "x.example", "comment": "The list"}}}),
        json!({"list": {"unsubscribe": [{"url": "http://x.example/u"}, "mailto:u@x.example"], "id": "x.example"}}),
        // Files.
        json!({"attachments": [{"filename": "a.txt", "content": "grüße"}]}),
        json!({"attachments": {"filename": "größe, 1.pdf", "content": "aGk=", "encoding": "base64"}}),
        json!({"attachments": [{"filename": "a.txt", "content": lines, "encoding": "base64"}]}),
        json!({"attachments": [{"filename": "a.txt", "content": "aGVsbG8", "encoding": "base64"}]}),
        json!({"attachments": [{"filename": "a.bin", "content": "-_-_", "encoding": "base64"}]}),
        json!({"attachments": [{"filename": "a.bin", "content": "6869", "encoding": "hex"}]}),
        json!({"attachments": [{"filename": "a.csv", "content": {"type": "Buffer", "data": [104, 105, 0, 255]}}]}),
        json!({"attachments": [{"content": "x", "contentType": "application/pdf"}, {"filename": false, "content": "y"}]}),
        json!({"attachments": [{"filename": "a.txt"}, {"filename": "b.txt", "content": null}]}),
        json!({"attachments": [{"path": "data:text/plain;base64,aGk=", "filename": "a.txt"}]}),
        json!({"attachments": [{"filename": "a.txt", "content": "x", "contentDisposition": "inline", "headers": {"X-Part": "1"}}]}),
        json!({"attachments": [{"filename": "m.eml", "content": "Subject: x\r\n\r\nhi"}]}),
        json!({"html": "", "attachments": [{"filename": "a.pdf", "content": "x"}]}),
        json!({"html": "", "text": "t", "attachments": [{"filename": "a.zip", "content": "x"}]}),
        json!({"html": "<img src=cid:dot@exams>", "attachments": [png]}),
        json!({"html": "<img src=cid:dot@exams>", "text": "a dot", "attachments": [png, {"filename": "a.txt", "content": "x"}]}),
        json!({"html": "", "text": "a dot", "attachments": [png]}),
        json!({"alternatives": [{"contentType": "text/x-web-markdown", "content": "**x**"}]}),
        json!({"text": "t", "amp": "<html amp4email>"}),
        json!({"icalEvent": "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"}),
        json!({"text": "t", "icalEvent": {"method": "request", "filename": "exam.ics", "content": "QkVHSU4=", "encoding": "base64"}}),
        // Bodies as objects.
        json!({"html": {"content": "PHA+aGk8L3A+", "encoding": "base64"}, "text": {"type": "Buffer", "data": [104, 105]}}),
        json!({"html": "<p>cut \u{fffd}</p>", "userId": 7, "anything": {"else": [1]}}),
    ]
}

fn complete(mut job: Value) -> Value {
    let defaults = json!({"to": "ada@example.com", "subject": "Hello", "html": "<p>Hi</p>"});
    let fields = job.as_object_mut().expect("an object");
    for (name, value) in defaults.as_object().expect("an object") {
        fields.entry(name.clone()).or_insert(value.clone());
    }
    if fields.get("from").is_none_or(Value::is_null) {
        fields.insert("from".to_owned(), json!("no-reply@exams.example"));
    }
    job
}

/// Returns the envelope and the message of each job, as nodemailer makes them.
fn by_nodemailer(jobs: &[Value]) -> Vec<(Vec<String>, Vec<u8>)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/nodemailer.mjs");
    let mut node = Command::new("node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node");
    let mut stdin = node.stdin.take().expect("a pipe");
    stdin.write_all(Value::from(jobs).to_string().as_bytes()).expect("written");
    drop(stdin);
    let output = node.wait_with_output().expect("ended");
    assert!(output.status.success(), "nodemailer composes them all");
    let mails: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let latin1 = |text: String| text.chars().map(|c| u8::try_from(c).expect("Latin-1")).collect();
    let mail = |mail: &Value| {
        (mail["to"].as_array().expect("a list").iter().map(text).collect(), latin1(text(&mail["message"])))
    };
    mails.iter().map(mail).collect()
}

#[tokio::test]
async fn mails_of_node_jobs_are_those_of_nodemailer() {
    let post = Post::start_set(&[("MAIL_FROM", "no-reply@exams.example")]).await;
    let jobs: Vec<_> = jobs().into_iter().map(complete).collect();
    let mut ids = Vec::new();
    for job in &jobs {
        ids.push(post.add_data(job.clone()).await);
    }
    let expected = by_nodemailer(&jobs);
    let drain = post.drain().await;
    if let Some(id) = drain.failed_ids.first() {
        let at = ids.iter().position(|one| one == id).expect("one of them");
        panic!("{}: {}", post.reason(id).await, jobs[at]);
    }
    let received = post.world.smtp.received();
    for ((id, job), (to, message)) in ids.iter().zip(&jobs).zip(expected) {
        let message_id = post.returned(id).await["messageId"].clone();
        let returned = post.returned(id).await["accepted"].clone();
        assert_eq!(returned, json!(to), "{job}");
        let mail =
            received.iter().find(|mail| mail.header("Message-ID").as_deref() == message_id.as_str() && mail.to == to);
        let ours = mail.expect("received").message.as_bytes();
        assert_eq!(shape(ours, job), shape(&message, job), "{job}\n{}", String::from_utf8_lossy(ours));
    }
}

/// What a reader sees: header fields and the MIME tree.
fn shape(message: &[u8], job: &Value) -> Value {
    let message = MessageParser::default().parse(message).expect("a message");
    let mut ignored = vec!["date", "mime-version", "bcc"];
    if job["messageId"].as_str().unwrap_or_default().is_empty() {
        ignored.push("message-id");
    }
    let mut headers = BTreeMap::<String, Vec<Value>>::new();
    for header in message.headers() {
        let name = header.name().to_lowercase();
        if !ignored.contains(&name.as_str()) && !name.starts_with("content-") && !headers.contains_key(&name) {
            let values = values(&message, &name);
            if !values.is_empty() {
                headers.insert(name, values);
            }
        }
    }
    json!({"headers": headers, "tree": part(&message, 0)})
}

fn values(message: &Message<'_>, name: &str) -> Vec<Value> {
    let form = match name {
        "from" | "sender" | "to" | "cc" | "reply-to" => HeaderForm::Addresses,
        "message-id" | "in-reply-to" | "references" => HeaderForm::MessageIds,
        _ => HeaderForm::Text,
    };
    let values = message.header_as(HeaderName::parse(name.to_owned()).expect("a name"), form).into_iter();
    values
        .flat_map(|value| match value {
            HeaderValue::Address(addresses) => addresses
                .iter()
                .filter(|one| one.address.is_some())
                .map(|one| json!([one.name.as_deref().unwrap_or_default(), one.address.as_deref()]))
                .collect(),
            HeaderValue::Text(text) => vec![json!(text)],
            HeaderValue::TextList(texts) => vec![json!(texts)],
            _ => vec![],
        })
        .collect()
}

fn part(message: &Message<'_>, id: u32) -> Value {
    let part = message.part(id).expect("a part");
    let children: Vec<_> = match &part.body {
        PartType::Multipart(ids) => ids.iter().map(|id| self::part(message, *id)).collect(),
        _ => vec![],
    };
    let kind = part.content_type().map(|it| format!("{}/{}", it.c_type, it.c_subtype.as_deref().unwrap_or_default()));
    let content = match &part.body {
        PartType::Text(text) | PartType::Html(text) => text.replace("\r\n", "\n").trim_end_matches('\n').to_owned(),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => format!("{bytes:?}"),
        PartType::Message(message) => String::from_utf8_lossy(message.raw_message()).trim_end().to_owned(),
        PartType::Multipart(_) => String::new(),
    };
    json!({
        "type": kind.map(|kind| kind.to_lowercase()),
        "method": part.content_type().and_then(|it| it.attribute("method")),
        "disposition": part.content_disposition().map(|it| it.c_type.to_lowercase()),
        "filename": part.content_disposition().and_then(|it| it.attribute("filename")),
        "cid": part.content_id(),
        "content": content,
        "children": children,
    })
}

#[tokio::test]
async fn unsupported_fields_fail_the_job_by_name() {
    let post = Post::start().await;
    let refused = [
        (json!({"raw": "Subject: x"}), "raw: is not supported"),
        (json!({"envelope": {"to": "x@y.example"}}), "envelope: is not supported"),
        (json!({"dsn": {"notify": "success"}}), "dsn: is not supported"),
        (json!({"dkim": {"domainName": "x.example"}}), "dkim: is not supported"),
        (json!({"auth": {"user": "x"}}), "auth: is not supported"),
        (json!({"otp": {"code": "1"}}), "otp: is not supported"),
        (json!({"attachDataUrls": true}), "attachDataUrls: is not supported"),
        (json!({"requireTLSExtensionEnabled": true}), "requireTLSExtensionEnabled: is not supported"),
        (json!({"maxRecipients": 3}), "maxRecipients: is not supported"),
        (json!({"template": "welcome"}), "template: is not supported"),
        (json!({"html": {"path": "/etc/passwd"}}), "html.path: is not supported"),
        (json!({"text": {"href": "http://x.example"}}), "text.href: is not supported"),
        (json!({"html": ["a"]}), "html: invalid type"),
        (json!({"text": 5}), "text: invalid type"),
        (json!({"attachments": [{"path": "/etc/passwd"}]}), "attachments[0].path: is not supported"),
        (
            json!({"attachments": [{"content": "x"}, {"href": "http://x.example"}]}),
            "attachments[1].href: is not supported",
        ),
        (json!({"attachments": [{"raw": "x"}]}), "attachments[0].raw: is not supported"),
        (json!({"attachments": [{"content": "x", "encoding": "rot13"}]}), "attachments[0]: encoding \"rot13\""),
        (json!({"attachments": [{"content": "%%", "encoding": "base64"}]}), "attachments[0]: content is not base64"),
        (json!({"attachments": [{"content": "abc", "encoding": "hex"}]}), "attachments[0]: content is not hex"),
        (json!({"attachments": [{"content": {"type": "Buffer", "data": [256]}}]}), "attachments[0].content.data[0]"),
        (json!({"attachments": [null]}), "attachments[0]: "),
        (json!({"alternatives": [{"path": "/x"}]}), "alternatives[0].path: is not supported"),
        (json!({"icalEvent": {"path": "/x"}}), "icalEvent.path: is not supported"),
        (json!({"headers": {"Bcc": "x@y.example"}}), "headers: \"Bcc\" cannot be set here"),
        (
            json!({"headers": {"X-A": {"value": {"value": [[]], "x": 1}}, "Content-Type": "text/plain"}}),
            "headers: \"Content-Type\"",
        ),
        (json!({"headers": {"X-A\r\nBcc": "x@y.example"}}), "headers: \"X-A\\r\\nBcc\" is not a header name"),
        (json!({"headers": {"Date": "yesterday"}}), "headers: \"Date\" cannot be set here"),
        (json!({"date": "yesterday"}), "date: not a time"),
        (json!({"expiresAt": true}), "expiresAt: not a time"),
        (json!({"messageId": "not an id"}), "messageId: \"not an id\""),
        (json!({"to": 7}), "to: invalid type"),
        (json!({"to": [{"name": "Ada"}]}), "to[0]: an object needs the field `address`"),
        (json!({"to": "bob, ada@x.example"}), "to: not a mailbox: \"bob\""),
        (json!({"cc": {"address": "a@x.example, b@x.example"}}), "cc: not a mailbox"),
        (json!({"to": null}), "to: `to` names nobody"),
        (json!({"subject": {"a": 1}}), "subject: invalid type"),
    ];
    let mut ids = Vec::new();
    for (change, reason) in &refused {
        let mut job = complete(json!({}));
        for (name, value) in change.as_object().expect("an object") {
            job[name] = value.clone();
        }
        ids.push((post.add_data(job).await, *reason));
    }
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (0, refused.len() as u64));
    for (id, reason) in ids {
        let found = post.reason(&id).await;
        assert!(found.contains(reason), "{reason}: {found}");
    }
}
