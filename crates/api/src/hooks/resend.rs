//! Events of Resend. <https://resend.com/docs/webhooks/event-types>

use examhall_core::Timestamp;
use examhall_delivery::{Report, ReportKind};
use serde_json::Value;

use super::provider::{text, texts};

/// Reads bounces and complaints; other events are nothing to us.
pub(super) fn reports(body: &Value, now: Timestamp) -> Vec<Report> {
    let reason = [text(body, "/data/bounce/message"), text(body, "/data/failed/reason")];
    let diagnostics = body.pointer("/data/bounce/diagnosticCode").and_then(Value::as_array);
    let diagnostics = diagnostics.into_iter().flatten().filter_map(Value::as_str);
    let words = texts(diagnostics.chain(reason)).join(" ");
    let kind = match (text(body, "/type"), text(body, "/data/bounce/type")) {
        ("email.complained", _) => ReportKind::Complaint,
        ("email.bounced", "Permanent" | "") | ("email.suppressed", _) => ReportKind::of_permanent_bounce("", &words),
        ("email.bounced" | "email.failed", _) => ReportKind::SoftBounce,
        _ => return Vec::new(),
    };
    let to = match &body["data"]["to"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    // Of several recipients nobody says which one it was: none of them is suppressed.
    let kind = if to.len() > 1 && kind == ReportKind::HardBounce { ReportKind::SoftBounce } else { kind };
    let headers = body.pointer("/data/headers").and_then(Value::as_array).into_iter().flatten();
    let in_header =
        headers.filter(|one| text(one, "/name").eq_ignore_ascii_case("message-id")).map(|one| text(one, "/value"));
    let names = [text(body, "/data/message_id")].into_iter().chain(in_header).chain([text(body, "/data/email_id")]);
    vec![Report {
        names: texts(names),
        recipients: texts(to),
        kind,
        reason: words,
        source: "resend",
        at: now.as_millis(),
        is_trusted: true,
    }]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// After <https://resend.com/docs/webhooks/emails/bounced>.
    fn event(name: &str, bounce: &Value, to: &Value) -> Value {
        json!({
            "type": name, "created_at": "2026-11-22T23:41:12.126Z",
            "data": {
                "created_at": "2026-11-22T23:41:11.894719+00:00", "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
                "message_id": "<7.17@x.example>", "from": "Acme <onboarding@resend.dev>", "to": to,
                "subject": "Sending this example", "bounce": bounce, "tags": {"category": "confirm_email"},
            },
        })
    }

    #[test]
    fn events_are_told_apart() {
        let (one, two) = (json!(["ada@x.example"]), json!(["ada@x.example", "bob@x.example"]));
        let bounce = |kind: &str| json!({"message": "The mailbox does not exist.", "subType": "General", "type": kind});
        let spam = json!({"message": "x", "type": "Permanent", "diagnosticCode": ["smtp; 550 5.7.1 spam"]});
        for (name, bounce, to, kind) in [
            ("email.bounced", &bounce("Permanent"), &one, Some(ReportKind::HardBounce)),
            ("email.bounced", &json!({"message": "no such user"}), &one, Some(ReportKind::HardBounce)),
            ("email.bounced", &bounce("Permanent"), &two, Some(ReportKind::SoftBounce)),
            ("email.bounced", &bounce("Transient"), &one, Some(ReportKind::SoftBounce)),
            ("email.bounced", &bounce("Undetermined"), &one, Some(ReportKind::SoftBounce)),
            ("email.bounced", &spam, &one, Some(ReportKind::SoftBounce)),
            ("email.complained", &Value::Null, &json!("ada@x.example"), Some(ReportKind::Complaint)),
            ("email.suppressed", &Value::Null, &one, Some(ReportKind::HardBounce)),
            ("email.delivered", &Value::Null, &one, None),
            ("email.delivery_delayed", &Value::Null, &one, None),
            ("contact.created", &Value::Null, &one, None),
        ] {
            let reports = reports(&event(name, bounce, to), Timestamp::from_millis(7));
            assert_eq!(reports.first().map(|report| report.kind), kind, "{name} {bounce}");
            for report in reports {
                assert_eq!(report.names, ["<7.17@x.example>", "56761188-7520-42d8-8898-ff6fc54ce618"]);
                assert_eq!(report.recipients[0], "ada@x.example");
            }
        }
        assert!(reports(&json!({}), Timestamp::from_millis(7)).is_empty());
    }
}
