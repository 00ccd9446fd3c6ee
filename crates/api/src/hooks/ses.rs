//! Events of Amazon SES, as SNS delivers them.
//! <https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html>

use examhall_core::Timestamp;
use examhall_delivery::{Report, ReportKind};
use serde_json::Value;

use super::provider::{text, texts};

/// Reads bounces and complaints; other events are nothing to us. Recipients may have different codes, so each has a report.
pub(super) fn reports(event: &Value, now: Timestamp) -> Vec<Report> {
    let kinds = [text(event, "/notificationType"), text(event, "/eventType")];
    let kind = kinds.into_iter().find(|kind| !kind.is_empty()).unwrap_or_default();
    let recipients = |pointer: &str| event.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let report = |recipient: &Value, kind: ReportKind, reason: Vec<String>| Report {
        names: names(&event["mail"]),
        recipients: texts([text(recipient, "/emailAddress")]),
        kind,
        reason: reason.join(": "),
        source: "ses",
        at: now.as_millis(),
        is_trusted: true,
    };
    match kind {
        "Bounce" => {
            let (class, sub) = (text(event, "/bounce/bounceType"), text(event, "/bounce/bounceSubType"));
            let of = |recipient: &Value| {
                let (status, words) = (text(recipient, "/status"), text(recipient, "/diagnosticCode"));
                let kind = match class {
                    "Permanent" => ReportKind::of_permanent_bounce(status, words),
                    _ => ReportKind::SoftBounce,
                };
                report(recipient, kind, texts([class, sub, words]))
            };
            recipients("/bounce/bouncedRecipients").iter().map(of).collect()
        }
        // `not-spam` takes a complaint back.
        "Complaint" if text(event, "/complaint/complaintFeedbackType") != "not-spam" => {
            let reason = texts(["complaint", text(event, "/complaint/complaintFeedbackType")]);
            let all = recipients("/complaint/complainedRecipients");
            all.iter().map(|recipient| report(recipient, ReportKind::Complaint, reason.clone())).collect()
        }
        _ => Vec::new(),
    }
}

/// Names of a mail: SES replaces its `Message-ID` on the way out, and keeps the former one in the headers.
fn names(mail: &Value) -> Vec<String> {
    let headers = mail["headers"].as_array().into_iter().flatten();
    let in_header =
        headers.filter(|one| text(one, "/name").eq_ignore_ascii_case("message-id")).map(|one| text(one, "/value"));
    texts(in_header.chain([text(mail, "/commonHeaders/messageId"), text(mail, "/messageId")]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kinds(event: &Value) -> Vec<(ReportKind, String)> {
        let reports = reports(event, Timestamp::from_millis(7));
        reports.into_iter().map(|report| (report.kind, report.recipients.concat())).collect()
    }

    fn bounce(class: &str, recipients: &Value) -> Value {
        let mail = json!({"messageId": "0102-000000", "commonHeaders": {"messageId": "<7.17@x.example>"}});
        let bounce = json!({"bounceType": class, "bounceSubType": "General", "bouncedRecipients": recipients});
        json!({"notificationType": "Bounce", "bounce": bounce, "mail": mail})
    }

    #[test]
    fn bounces_and_complaints_are_told_apart() {
        let (jane, richard) = ("jane@example.com", "richard@example.com");
        let two = json!([
            {"status": "5.0.0", "action": "failed", "diagnosticCode": "smtp; 550 user unknown", "emailAddress": jane},
            {"status": "5.7.1", "action": "failed", "diagnosticCode": "smtp; 550 5.7.1 spam", "emailAddress": richard},
        ]);
        let found = kinds(&bounce("Permanent", &two));
        assert_eq!(found, [(ReportKind::HardBounce, jane.to_owned()), (ReportKind::SoftBounce, richard.to_owned())]);
        let one = json!([{"emailAddress": jane}]);
        assert_eq!(kinds(&bounce("Permanent", &one)), [(ReportKind::HardBounce, jane.to_owned())]);
        for soft in ["Transient", "Undetermined"] {
            assert_eq!(kinds(&bounce(soft, &one)), [(ReportKind::SoftBounce, jane.to_owned())]);
        }
        let complaint = |feedback: &str| {
            json!({"eventType": "Complaint", "mail": {}, "complaint": {
                "complainedRecipients": one, "complaintFeedbackType": feedback, "userAgent": "AnyCompany Feedback Loop (V0.01)",
            }})
        };
        assert_eq!(kinds(&complaint("abuse")), [(ReportKind::Complaint, jane.to_owned())]);
        assert_eq!(kinds(&complaint("")), [(ReportKind::Complaint, jane.to_owned())]);
        for other in [complaint("not-spam"), json!({"notificationType": "Delivery"}), json!({}), json!(null)] {
            assert!(kinds(&other).is_empty(), "{other}");
        }
        let names = reports(&bounce("Permanent", &one), Timestamp::from_millis(7)).remove(0).names;
        assert_eq!(names, ["<7.17@x.example>", "0102-000000"]);
    }
}
