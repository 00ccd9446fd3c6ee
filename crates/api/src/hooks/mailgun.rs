//! Mailgun: HMAC-SHA256 over time and token, in the body. A token counts once.
//! <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_boot::settings::SecretKey;
use examhall_core::Timestamp;
use examhall_delivery::{Report, ReportKind};
use ring::{
    digest::{SHA256, digest},
    hmac,
};
use serde_json::Value;

use super::provider::{Refusal, is_recent, text, texts};

/// Checks that one of the keys has signed the request, within the last minutes; returns the hash of its token.
pub(super) fn verify(keys: &[SecretKey], body: &Value, now: Timestamp) -> Result<String, Refusal> {
    let signed = &body["signature"];
    let (token, signature) = (text(signed, "/token"), text(signed, "/signature"));
    let time = match &signed["timestamp"] {
        Value::String(seconds) => seconds.clone(),
        Value::Number(seconds) => seconds.to_string(),
        _ => String::new(),
    };
    if token.is_empty() || signature.is_empty() || time.is_empty() {
        return Err(Refusal::Forbidden("it has no signature"));
    }
    let seconds: i64 = time.parse().map_err(|_| Refusal::Forbidden("its timestamp is no number"))?;
    if !is_recent(seconds.saturating_mul(1000), now) {
        return Err(Refusal::Forbidden("its timestamp is not recent"));
    }
    let signature = hex::decode(signature).map_err(|_| Refusal::Forbidden("its signature is wrong"))?;
    let text = format!("{time}{token}");
    let is_signed = keys.iter().any(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
        hmac::verify(&key, text.as_bytes(), &signature).is_ok()
    });
    if is_signed { Ok(hash(token)) } else { Err(Refusal::Forbidden("its signature is wrong")) }
}

fn hash(token: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
}

/// Reads bounces and complaints; other events are nothing to us. A temporary failure is tried again by Mailgun.
pub(super) fn reports(body: &Value, now: Timestamp) -> Vec<Report> {
    let event = &body["event-data"];
    let status = |name: &str| text(event, &format!("/delivery-status/{name}"));
    let words = texts([status("message"), status("description")]).join(" ");
    let kind = match (text(event, "/event"), text(event, "/severity")) {
        ("complained", _) => ReportKind::Complaint,
        ("failed", "permanent") if status("bounce-type") == "soft" => ReportKind::SoftBounce,
        ("failed", "permanent") => match text(event, "/reason") {
            "bounce" | "suppress-bounce" | "generic" | "" => {
                ReportKind::of_permanent_bounce(status("enhanced-code"), &words)
            }
            _ => ReportKind::SoftBounce, // such as `old`: tried for too long
        },
        _ => return Vec::new(),
    };
    vec![Report {
        names: texts([text(event, "/message/headers/message-id")]),
        recipients: texts([text(event, "/recipient")]),
        kind,
        reason: words,
        source: "mailgun",
        at: now.as_millis(),
        is_trusted: true,
    }]
}

#[cfg(test)]
mod tests {
    use examhall_boot::settings::{HookSettings, Values};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

    /// HMAC-SHA256 of `1795424400` and `token` with the key `key`, by `openssl dgst -sha256 -hmac key`.
    const SIGNATURE: &str = "28b4a1703f26ff0f2d83408edd141b4966cbaf6e62a16aff1c0c91c463100190";

    fn keys() -> Vec<SecretKey> {
        let values = Values::from_pairs([("MAIL_HOOK_MAILGUN_KEY", "old,key")]).expect("good");
        HookSettings::checked(&values).expect("good").mailgun_keys
    }

    #[test]
    fn only_recent_signatures_of_a_key_are_taken() {
        let signed = |time: Value, token: &str, signature: &str| json!({"signature": {"timestamp": time, "token": token, "signature": signature}});
        let taken = |body: &Value, now: Timestamp| verify(&keys(), body, now).ok() == Some(hash("token"));
        let good = signed(json!("1795424400"), "token", SIGNATURE);
        assert!(taken(&good, NOW) && taken(&signed(json!(1_795_424_400), "token", SIGNATURE), NOW));
        assert!(taken(&signed(json!("1795424400"), "token", &SIGNATURE.to_uppercase()), NOW));
        for seconds in [-301, 301, 86_400] {
            assert!(!taken(&good, Timestamp::from_millis(NOW.as_millis() + seconds * 1000)), "{seconds}");
        }
        for bad in [
            signed(json!("1795424401"), "token", SIGNATURE),
            signed(json!("1795424400"), "other", SIGNATURE),
            signed(json!("1795424400"), "token", &SIGNATURE.replace('a', "b")),
            signed(json!("1795424400"), "token", &SIGNATURE[2..]),
            signed(json!("1795424400"), "token", ""),
            signed(json!("1795424400"), "token", "é"),
            signed(json!("now"), "token", SIGNATURE),
            signed(Value::Null, "token", SIGNATURE),
            json!({}),
            json!([]),
        ] {
            assert!(verify(&keys(), &bad, NOW).is_err(), "{bad}");
        }
    }

    /// After <https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure>.
    fn event(event: &str, severity: &str, reason: &str, status: &Value) -> Value {
        json!({"event-data": {
            "event": event, "severity": severity, "reason": reason, "id": "G9Bn5sl1TC6nu79C8C0bwg",
            "timestamp": 1_521_233_195.375_624, "log-level": "error", "recipient": "alice@example.com",
            "recipient-domain": "example.com", "delivery-status": status, "user-variables": {},
            "message": {"headers": {"to": "Alice <alice@example.com>", "message-id": "7.17@x.example", "subject": "x"}},
        }})
    }

    #[test]
    fn events_are_told_apart() {
        let suppressed =
            json!({"code": 605, "message": "", "description": "Not delivering to previously bounced address"});
        let unknown = json!({"code": 550, "message": "5.1.1 The email account does not exist", "description": ""});
        let spam = json!({"code": 550, "message": "5.7.1 looks like spam", "description": ""});
        let soft = json!({"code": 552, "message": "5.2.2 full", "bounce-type": "soft"});
        for (name, severity, reason, status, kind) in [
            ("failed", "permanent", "suppress-bounce", &suppressed, Some(ReportKind::HardBounce)),
            ("failed", "permanent", "bounce", &unknown, Some(ReportKind::HardBounce)),
            ("failed", "permanent", "bounce", &spam, Some(ReportKind::SoftBounce)),
            ("failed", "permanent", "bounce", &soft, Some(ReportKind::SoftBounce)),
            ("failed", "permanent", "old", &Value::Null, Some(ReportKind::SoftBounce)),
            ("failed", "temporary", "generic", &unknown, None),
            ("complained", "", "", &Value::Null, Some(ReportKind::Complaint)),
            ("delivered", "", "", &Value::Null, None),
            ("unsubscribed", "", "", &Value::Null, None),
        ] {
            let reports = reports(&event(name, severity, reason, status), NOW);
            assert_eq!(reports.first().map(|report| report.kind), kind, "{name} {reason} {status}");
            for report in reports {
                assert_eq!(
                    (report.names[0].as_str(), report.recipients[0].as_str()),
                    ("7.17@x.example", "alice@example.com")
                );
            }
        }
    }
}
