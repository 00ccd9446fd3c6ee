//! Reads delivery status notifications (RFC 3464, RFC 6533) and abuse reports (RFC 5965).
//!
//! Everybody can write such a message. So it is believed only of a mail that the ledger knows, and of its recipients.

use std::collections::HashMap;

use examhall_delivery::{Report, ReportKind};
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};

/// Most recipients of one message that count.
const MOST: usize = 100;

/// Fields of a report, by their names in lower case.
type Fields = HashMap<String, String>;

/// Returns what a message reports, `now`, in ms since 1970. `token` finds the mail's name in an address.
pub(super) fn reports(message: &[u8], now: i64, token: impl Fn(&str) -> Option<String>) -> Vec<Report> {
    let Some(message) = MessageParser::default().parse(message) else { return Vec::new() };
    let Some(kind) = message.content_type().and_then(|kind| kind.attribute("report-type")) else { return Vec::new() };
    let names = names(&message, token);
    let report = |kind, recipient: Option<String>, reason: String| Report {
        names: names.clone(),
        recipients: recipient.into_iter().collect(),
        kind,
        reason,
        source: "dsn",
        at: now,
        is_trusted: false,
    };
    if kind.eq_ignore_ascii_case("feedback-report") {
        let groups = part(&message, &["feedback-report"]).map(|text| groups(&text)).unwrap_or_default();
        let fields: Fields = groups.into_iter().flatten().collect();
        let feedback = field(&fields, "feedback-type");
        if !["abuse", "fraud", "opt-out", "miscategorized"].contains(&feedback.to_lowercase().as_str()) {
            return Vec::new(); // such as `not-spam`, `auth-failure`
        }
        let recipient = Some(address(field(&fields, "original-rcpt-to"))).filter(|address| !address.is_empty());
        return vec![report(ReportKind::Complaint, recipient, format!("complaint: {feedback}"))];
    }
    let text = part(&message, &["delivery-status", "global-delivery-status"]).unwrap_or_default();
    let of_recipient = |fields: &Fields| {
        if !field(fields, "action").eq_ignore_ascii_case("failed") {
            return None; // delayed, delivered, relayed, expanded
        }
        let (status, words) = (field(fields, "status"), field(fields, "diagnostic-code"));
        let recipient = [field(fields, "original-recipient"), field(fields, "final-recipient")];
        let recipient = recipient.into_iter().map(address).find(|address| address.contains('@'));
        Some(report(ReportKind::of_bounce(status, words), recipient, format!("{status} {words}").trim().to_owned()))
    };
    groups(&text).iter().filter_map(of_recipient).take(MOST).collect()
}

/// Names of the mail that the message is about, the best one first.
fn names(message: &Message<'_>, token: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let came_to = ["Delivered-To", "X-Original-To", "To"].into_iter().filter_map(|name| message.header_raw(name));
    let tokens = came_to.flat_map(|line| line.split([',', ' '])).filter_map(token);
    let mut names: Vec<_> = tokens.collect();
    for part in &message.parts {
        let id = match &part.body {
            PartType::Message(original) => original.message_id().map(ToOwned::to_owned),
            PartType::Text(text) | PartType::Html(text) => {
                let head = format!("{text}\r\n\r\n");
                let is_head = part.content_type().is_some_and(|kind| kind.subtype().is_some_and(is_headers));
                is_head
                    .then(|| MessageParser::default().parse(head.as_bytes())?.message_id().map(ToOwned::to_owned))
                    .flatten()
            }
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                let is_head = part.content_type().is_some_and(|kind| kind.subtype().is_some_and(is_headers));
                is_head.then(|| MessageParser::default().parse(&**bytes)?.message_id().map(ToOwned::to_owned)).flatten()
            }
            PartType::Multipart(_) => None,
        };
        names.extend(id);
    }
    names.truncate(MOST);
    names
}

fn is_headers(subtype: &str) -> bool {
    ["rfc822-headers", "global-headers", "rfc822", "global"].iter().any(|one| subtype.eq_ignore_ascii_case(one))
}

/// The text of the part with one of these subtypes.
fn part(message: &Message<'_>, subtypes: &[&str]) -> Option<String> {
    let is_it = |part: &&mail_parser::MessagePart<'_>| {
        let subtype = part.content_type().and_then(|kind| kind.subtype()).unwrap_or_default();
        subtypes.iter().any(|one| subtype.eq_ignore_ascii_case(one))
    };
    let part = message.parts.iter().find(is_it)?;
    Some(match &part.body {
        PartType::Text(text) | PartType::Html(text) => text.to_string(),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        PartType::Message(inner) => String::from_utf8_lossy(&inner.raw_message).into_owned(),
        PartType::Multipart(_) => return None,
    })
}

/// Groups of fields, separated by empty lines; folded lines are joined (RFC 3464, section 2.1).
fn groups(text: &str) -> Vec<Fields> {
    let mut groups = vec![Fields::new()];
    let mut last = String::new();
    for line in text.lines() {
        let group = groups.last_mut().expect("there is always one");
        if line.trim().is_empty() {
            if !group.is_empty() {
                groups.push(Fields::new());
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = group.get_mut(&last) {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            last = name.trim().to_lowercase();
            group.entry(last.clone()).or_insert_with(|| value.trim().to_owned());
        }
    }
    groups
}

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}

/// The address in `rfc822; <ada@example.com>`.
fn address(text: &str) -> String {
    let address = text.split_once(';').map_or(text, |(_, address)| address);
    address.trim().trim_matches(['<', '>']).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dsn(recipients: &str, original: &str) -> String {
        format!(
            "Return-Path: <>\r\nDelivered-To: bounces+7.17@exams.example\r\nFrom: MAILER-DAEMON@mx.example\r\n\
             To: bounces@exams.example\r\nSubject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"B\"\r\n\r\n--B\r\n\
             Content-Type: text/plain\r\n\r\nI'm sorry.\r\n\r\n--B\r\nContent-Type: message/delivery-status\r\n\r\n\
             Reporting-MTA: dns; mx.example\r\nArrival-Date: Mon, 23 Nov 2026 09:00:00 +0000\r\n\r\n{recipients}\r\n--B\r\n\
             {original}\r\n--B--\r\n"
        )
    }

    const FAILED: &str = "Final-Recipient: rfc822; ada@example.com\r\nOriginal-Recipient: rfc822;Ada@example.com\r\n\
        Action: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 550\r\n 5.1.1 no such user\r\n";
    const HEADERS: &str =
        "Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <7.17@exams.example>\r\nSubject: Result\r\n";
    const WHOLE: &str =
        "Content-Type: message/rfc822\r\n\r\nMessage-ID: <7.17@exams.example>\r\nSubject: x\r\n\r\nHello\r\n";

    fn found(message: &str) -> Vec<(ReportKind, Vec<String>, String)> {
        let token = |address: &str| Some(address.strip_prefix("bounces+")?.split('@').next()?.to_owned());
        let reports = reports(message.as_bytes(), 7, token);
        assert!(reports.iter().all(|report| !report.is_trusted));
        reports.into_iter().map(|report| (report.kind, report.names, report.recipients.concat())).collect()
    }

    #[test]
    fn delivery_status_notifications_are_read() {
        let names = || vec!["7.17".to_owned(), "7.17@exams.example".to_owned()];
        for original in [HEADERS, WHOLE] {
            let hard = [(ReportKind::HardBounce, names(), "Ada@example.com".to_owned())];
            assert_eq!(found(&dsn(FAILED, original)), hard, "{original}");
        }
        let full = FAILED.replace("5.0.0", "5.2.2");
        assert_eq!(found(&dsn(&full, HEADERS))[0].0, ReportKind::SoftBounce);
        let two = format!("{FAILED}\r\n{}", full.replace("Ada@", "bob@"));
        assert_eq!(found(&dsn(&two, HEADERS)).len(), 2);
        for action in ["delayed", "delivered", "relayed", "expanded"] {
            assert!(found(&dsn(&FAILED.replace("failed", action), HEADERS)).is_empty(), "{action}");
        }
        let utf8 = dsn(&FAILED.replace("rfc822;", "utf-8;"), HEADERS)
            .replace("message/delivery-status", "message/global-delivery-status")
            .replace("text/rfc822-headers", "message/global-headers");
        assert_eq!(found(&utf8)[0].2, "Ada@example.com");
        let no_original = dsn(FAILED, "Content-Type: text/plain\r\n\r\nnothing\r\n");
        assert_eq!(found(&no_original)[0].1, ["7.17"]);
    }

    #[test]
    fn abuse_reports_are_complaints() {
        let report = |feedback: &str| {
            dsn("", WHOLE)
                .replace("report-type=delivery-status", "report-type=feedback-report")
                .replace("message/delivery-status", "message/feedback-report")
                .replace(
                    "Reporting-MTA: dns; mx.example",
                    &format!("Feedback-Type: {feedback}\r\nVersion: 1\r\nOriginal-Rcpt-To: <ada@example.com>"),
                )
        };
        assert_eq!(found(&report("abuse"))[0].0, ReportKind::Complaint);
        assert_eq!(found(&report("abuse"))[0].2, "ada@example.com");
        assert!(found(&report("not-spam")).is_empty() && found(&report("auth-failure")).is_empty());
    }

    #[test]
    fn other_mails_report_nothing() {
        for other in [
            "Subject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nI am away. Action: failed\r\n",
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=B\r\n\r\n--B--\r\n",
            "Content-Type: multipart/report; report-type=delivery-status; boundary=B\r\n\r\n--B\r\n\r\nx\r\n--B--\r\n",
            "",
            "\0\u{1}rubbish",
        ] {
            assert!(found(other).is_empty(), "{other}");
        }
    }
}
