//! Which refusals speak of us, and not of one mail: our host, our account, our sender, our rate. A pure decision by codes and
//! words.
//!
//! Servers have no codes for it that they agree on: 550 5.7.1 may mean a blocked host, a quota, or spam. So their words
//! decide, as they are in use; `our_trouble/tests.rs` has them, each with its source. What nobody has foreseen is found by
//! [`Evidence`](super::evidence::Evidence): many equal refusals in a row.

use super::{error::Phase, provider_failure::ProviderFailure, reply::Reply};

/// Our name in EHLO, our address, its DNS, its reputation, or a missing permission to relay.
const HOST: [&[&str]; 34] = [
    &["helo"],
    &["ehlo"],
    &["need fully-qualified hostname"],
    &["fqdn"],
    &["client host"],
    &["reverse dns"],
    &["reverse hostname"],
    &["rdns"],
    &["ptr record"],
    &["no ptr"],
    &["cannot find your hostname"],
    &["blocked using"],
    &["spamhaus"],
    &["banned sending ip"],
    &["traffic not accepted from this ip"],
    &["block list", "network"],
    &["block list", " ip"],
    &["blacklist", " ip"],
    &["blocklist", " ip"],
    &["blacklisted host"],
    &["your ip", "block"],
    &["your ip", "listed"],
    &["ip address", "not authorized"],
    &["ip not in whitelist"],
    &["relay", "denied"],
    &["relay", "not permitted"],
    &["relay", "not allowed"],
    &["relay", "prohibited"],
    &["unable to relay"],
    &["cannot relay"],
    &["do not relay"],
    &["does not relay"],
    &["not permitted to relay"],
    &["blocked from sending"],
];

/// The login that is missing.
const LOGIN: [&[&str]; 6] = [
    &["authentication required"],
    &["authentication is required"],
    &["client was not authenticated"],
    &["must authenticate"],
    &["log in first"],
    &["not logged in"],
];

/// The sender, which is not ours in the provider's eyes, or an account that may not send.
const SENDER: [&[&str]; 28] = [
    &["sender address rejected"],
    &["sender verify failed"],
    &["sender rejected"],
    &["sender denied"],
    &["not owned by user"],
    &["send as this sender"],
    &["sendasdenied"],
    &["not allowed to send as"],
    &["not allowed to send mail as"],
    &["not permitted to send as"],
    &["address is not verified"],
    &["domain is not verified"],
    &["verified sender"],
    &["sender signature"],
    &["from/sender name is not valid"],
    &["sender", "not authorized"],
    &["sender", "not allowed"],
    &["from address", "not allowed"],
    &["bad outbound sender"],
    &["banned sender"],
    &["is not allowed to send"],
    &["sandbox"],
    &["sending paused"],
    &["account is paused"],
    &["your account", "suspended"],
    &["your account", "disabled"],
    &["pending approval"],
    &["account", "not activated"],
];

/// A rate or a quota, or a server that has too much to do.
const LIMIT: [&[&str]; 32] = [
    &["throttl"],
    &["rate limit"],
    &["ratelimit"],
    &["sending rate"],
    &["sending limit"],
    &["sending quota"],
    &["submission quota"],
    &["submissionquotaexceeded"],
    &["message quota"],
    &["relay limit"],
    &["thread limit"],
    &["concurrent connections"],
    &["too many connections"],
    &["too many concurrent"],
    &["too many messages"],
    &["too many emails"],
    &["too many mails"],
    &["too much mail"],
    &["exceeded the max"],
    &["exceeded threshold"],
    &["recipient limit exceeded"],
    &["per hour"],
    &["per day"],
    &["per minute"],
    &["hourly", "limit"],
    &["hourly", "quota"],
    &["daily", "limit"],
    &["daily", "quota"],
    &["limit", "reached"],
    &["quota", "your account"],
    &["unusual rate"],
    &["policy rejection", "quota"],
];

/// The refusal's trouble with us, if that is what it speaks of; at any phase between MAIL and the reply to the message.
pub(crate) fn our_trouble(phase: Phase, reply: &Reply) -> Option<ProviderFailure> {
    let text = reply.text.to_lowercase();
    let says = |table: &[&[&str]]| table.iter().any(|words| words.iter().all(|word| text.contains(word)));
    if speaks_of_greylisting(reply) || speaks_of_content(&text) {
        return None;
    }
    let concerns_mailbox = matches!(reply.detail(), Some((1, _) | (2, 1 | 2))) || text.contains("mailbox");
    let is_limit = says(&LIMIT) && (!concerns_mailbox || text.contains("relay limit"));
    // Postfix refuses a recipient with "Recipient address rejected: <why>", and so do its policy services.
    if text.contains("recipient address rejected") {
        let is_relay = text.contains("relay access denied");
        return is_relay.then_some(ProviderFailure::Blocked).or(is_limit.then_some(ProviderFailure::Throttled));
    }
    if says(&SENDER) || matches!(reply.detail(), Some((1, 7 | 8) | (7, 60) | (2, 252))) {
        return Some(ProviderFailure::SenderRefused);
    }
    if matches!(reply.code, 530 | 534 | 535 | 538) || says(&LOGIN) {
        return Some(ProviderFailure::LoginRefused);
    }
    if says(&HOST) || reply.detail() == Some((7, 25)) {
        return Some(ProviderFailure::Blocked);
    }
    if is_limit || is_overload(phase, reply, &text) {
        return Some(ProviderFailure::Throttled);
    }
    // Nothing but the sender was said so far.
    let is_of_mail = phase == Phase::Mail && reply.is_final();
    let refuses = matches!((reply.code, reply.detail()), (_, Some((7, _))) | (550 | 553, None));
    (is_of_mail && refuses).then_some(ProviderFailure::SenderRefused)
}

/// Returns whether the recipient's server greylists: another try is accepted.
pub(crate) fn speaks_of_greylisting(reply: &Reply) -> bool {
    let text = reply.text.to_lowercase();
    ["greylist", "graylist", "grey-list", "gray-list", "grey list"].iter().any(|word| text.contains(word))
}

/// A list of bad links or words, not of bad hosts; SPF, DKIM or DMARC, which some recipients check.
fn speaks_of_content(text: &str) -> bool {
    ["url in", "a url", "urls", "links", "surbl", "message content", "dmarc", "spf "]
        .iter()
        .any(|word| text.contains(word))
        && !text.contains("client host")
}

/// Returns whether the server takes nothing for now. Amazon SES replies 454 without an enhanced code; 4.7.1 after RCPT is
/// mostly greylisting.
fn is_overload(phase: Phase, reply: &Reply, text: &str) -> bool {
    !reply.is_final()
        && match (reply.code, reply.detail()) {
            (421 | 432 | 454, _) | (_, Some((3, _))) => true,
            (_, Some((7, detail))) if detail != 1 || phase != Phase::Rcpt => true,
            _ => text.contains("service unavailable"),
        }
}

#[cfg(test)]
mod tests;
