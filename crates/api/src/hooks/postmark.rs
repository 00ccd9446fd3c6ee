//! Postmark: no signature, but the user and password of the hook's URL (basic authentication).
//! <https://postmarkapp.com/developer/webhooks/webhooks-overview>

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_core::Timestamp;
use examhall_delivery::{Report, ReportKind};
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::provider::{Refusal, text, texts};

/// Checks user and password.
pub(super) fn verify(login: &SecretString, headers: &HeaderMap) -> Result<(), Refusal> {
    let given =
        headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let given = given.and_then(|(_, code)| BASE64_STANDARD.decode(code.trim()).ok()).unwrap_or_default();
    // Hashes tell by the time of their comparison nothing of what was hashed.
    let hash = |bytes: &[u8]| digest(&SHA256, bytes);
    let is_right = hash(&given).as_ref() == hash(login.expose_secret().as_bytes()).as_ref();
    if is_right { Ok(()) } else { Err(Refusal::WrongLogin) }
}

/// Reads bounces and spam complaints; other events are nothing to us.
pub(super) fn reports(body: &Value, now: Timestamp) -> Vec<Report> {
    let details = [text(body, "/Details"), text(body, "/Description")];
    let kind = match (text(body, "/RecordType"), text(body, "/Type")) {
        ("SpamComplaint", _) | ("Bounce" | "", "SpamComplaint") => ReportKind::Complaint,
        ("Bounce" | "", "HardBounce" | "BadEmailAddress") => ReportKind::of_permanent_bounce("", details[0]),
        (
            "Bounce" | "",
            "SoftBounce" | "Transient" | "DnsError" | "Blocked" | "DMARCPolicy" | "SpamNotification"
            | "VirusNotification" | "Unknown" | "Undeliverable",
        ) => ReportKind::SoftBounce,
        _ => return Vec::new(),
    };
    vec![Report {
        names: texts([text(body, "/Metadata/message-id"), text(body, "/MessageID")]),
        recipients: texts([text(body, "/Email")]),
        kind,
        reason: texts([text(body, "/Type")].into_iter().chain(details)).join(": "),
        source: "postmark",
        at: now.as_millis(),
        is_trusted: true,
    }]
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    fn verdict(header: Option<&str>) -> bool {
        let request = TestRequest::default();
        let request = match header {
            Some(value) => request.insert_header((AUTHORIZATION, value)),
            None => request,
        };
        verify(&SecretString::from("hook:correct horse"), request.to_http_request().headers()).is_ok()
    }

    #[test]
    fn only_the_right_login_is_taken() {
        let basic = |login: &str| format!("Basic {}", BASE64_STANDARD.encode(login));
        assert!(verdict(Some(&basic("hook:correct horse"))));
        assert!(verdict(Some(&basic("hook:correct horse").replace("Basic", "basic"))));
        for wrong in ["hook:wrong", "hook:", "", "hook:correct horse ", "other:correct horse"] {
            assert!(!verdict(Some(&basic(wrong))), "{wrong}");
        }
        assert!(!verdict(None) && !verdict(Some("Bearer x")) && !verdict(Some("Basic ???")) && !verdict(Some("Basic")));
    }

    /// After <https://postmarkapp.com/developer/webhooks/bounce-webhook>.
    fn bounce(kind: &str, details: &str) -> Value {
        json!({
            "RecordType": "Bounce", "MessageStream": "outbound", "ID": 42, "Type": kind, "TypeCode": 1, "Name": "Hard bounce",
            "Tag": "Test", "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "Metadata": {"message-id": "7.17@x.example"},
            "ServerID": 23, "Description": "The server was unable to deliver your message.", "Details": details,
            "Email": "john@example.com", "From": "sender@example.com", "BouncedAt": "2019-11-05T16:33:54.9070259Z",
            "DumpAvailable": true, "Inactive": true, "CanActivate": true, "Subject": "Test subject",
        })
    }

    #[test]
    fn bounces_and_complaints_are_told_apart() {
        let kind = |body: &Value| reports(body, Timestamp::from_millis(7)).first().map(|report| report.kind);
        assert_eq!(kind(&bounce("HardBounce", "Test bounce details")), Some(ReportKind::HardBounce));
        assert_eq!(kind(&bounce("HardBounce", "smtp;550 5.7.1 spam")), Some(ReportKind::SoftBounce));
        for soft in ["SoftBounce", "Transient", "Blocked", "SpamNotification"] {
            assert_eq!(kind(&bounce(soft, "smtp;550 5.1.1 x")), Some(ReportKind::SoftBounce), "{soft}");
        }
        for other in ["AutoResponder", "Subscribe", "AddressChange", "of a later version"] {
            assert_eq!(kind(&bounce(other, "")), None, "{other}");
        }
        let mut complaint = bounce("SpamComplaint", "");
        complaint["RecordType"] = json!("SpamComplaint");
        assert_eq!(kind(&complaint), Some(ReportKind::Complaint));
        for other in [json!({"RecordType": "Delivery", "Recipient": "x@y.example"}), json!({}), json!([])] {
            assert_eq!(kind(&other), None);
        }
        let report = reports(&bounce("HardBounce", "x"), Timestamp::from_millis(7)).remove(0);
        assert_eq!(report.names, ["7.17@x.example", "883953f4-6105-42a2-a16a-77a8eac79483"]);
        assert_eq!((report.recipients[0].as_str(), report.at), ("john@example.com", 7));
    }
}
