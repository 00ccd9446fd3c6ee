//! Suppressed recipients of a mail.

use examhall_core::MailClass;
use examhall_queue::Job;

use crate::{attempt_outcome::AttemptOutcome, message::PreparedMail, payload::Payload, suppressions::Suppressed};

/// Removes suppressed recipients from the mail; an error if none is left.
pub(super) fn exclude_suppressed(mail: &mut PreparedMail, suppressed: Vec<Suppressed>) -> Result<(), AttemptOutcome> {
    mail.to.retain(|address| !suppressed.iter().any(|one| one.address == address.to_string()));
    mail.suppressed = suppressed.iter().map(|one| one.address.clone()).collect();
    match suppressed.into_iter().next() {
        Some(first) if mail.to.is_empty() => Err(AttemptOutcome::Suppressed(format!("suppressed: {}", first.reason))),
        _ => Ok(()),
    }
}

/// Somebody waits for a verification or a reset: that it is not sent must not go unnoticed.
pub(super) fn report_security_mail(job: &Job<Payload>) {
    let class = job.data.0.class;
    if matches!(class, MailClass::Verification | MailClass::Reset) {
        metrics::counter!("mailer_security_mails_suppressed_total", "class" => class.as_str()).increment(1);
        tracing::warn!(
            job_id = job.id,
            class = class.as_str(),
            "Verification or reset not sent: its address is suppressed"
        );
    }
}
