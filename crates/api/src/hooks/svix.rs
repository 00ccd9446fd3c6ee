//! Signatures of Svix (Standard Webhooks): HMAC-SHA256 over id, time and body.
//! <https://docs.svix.com/receiving/verifying-payloads/how-manual>

use actix_web::http::header::HeaderMap;
use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_boot::settings::SecretKey;
use ring::hmac;

use super::provider::{HookCall, Refusal, is_recent};

/// Checks that one of the keys has signed the request, within the last minutes.
pub(super) fn verify(keys: &[SecretKey], call: &HookCall<'_>) -> Result<(), Refusal> {
    let header = |name: &str| header(call.headers, name).ok_or(Refusal::Forbidden("it has no signature"));
    let (id, time, signatures) = (header("id")?, header("timestamp")?, header("signature")?);
    let seconds: i64 = time.parse().map_err(|_| Refusal::Forbidden("its timestamp is no number"))?;
    if !is_recent(seconds.saturating_mul(1000), call.now) {
        return Err(Refusal::Forbidden("its timestamp is not recent"));
    }
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", call.body].concat();
    let signatures = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
    let signatures: Vec<_> = signatures.filter_map(|code| BASE64_STANDARD.decode(code).ok()).collect();
    let is_signed = keys.iter().any(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
        signatures.iter().any(|signature| hmac::verify(&key, &signed, signature).is_ok())
    });
    if is_signed { Ok(()) } else { Err(Refusal::Forbidden("its signature is wrong")) }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let find = |prefix: &str| headers.get(format!("{prefix}-{name}"))?.to_str().ok();
    find("svix").or_else(|| find("webhook"))
}
