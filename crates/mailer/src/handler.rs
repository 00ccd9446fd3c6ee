//! What is done with one job.

use std::time::{Instant, SystemTime};

use examhall_boot::health::Health;
use examhall_core::{EmailJob, Timestamp};
use examhall_queue::{Failure, Handler, Job, Outcome};
use lettre::message::Mailbox;
use serde_json::json;

use crate::{
    message::prepare,
    smtp::{Delivered, Transport, Undelivered},
};

/// Sends mails.
pub(crate) struct SendMail {
    pub(crate) transport: Transport,
    pub(crate) from: Mailbox,
    pub(crate) health: Health,
}

impl Handler<EmailJob> for SendMail {
    async fn run(&self, job: Job<EmailJob>) -> Outcome {
        let outcome = self.send(&job).await;
        let name = match &outcome {
            Outcome::Completed(_) => "sent",
            Outcome::Unrecoverable(_) => "failed",
            Outcome::Failed(_) | Outcome::RateLimited(_) | Outcome::Parked(_) | Outcome::Returned => "deferred",
        };
        metrics::counter!("mailer_attempts_total", "outcome" => name).increment(1);
        outcome
    }
}

impl SendMail {
    async fn send(&self, job: &Job<EmailJob>) -> Outcome {
        if job.name != EmailJob::NAME {
            return unrecoverable(format!("there is no handler for jobs named {:?}", job.name));
        }
        if job.data.expires_at.is_some_and(|end| end <= now()) {
            return unrecoverable("expired".to_owned());
        }
        let mail = match prepare(&job.data, &job.id, job.timestamp, &self.from) {
            Ok(mail) => mail,
            Err(error) => return unrecoverable(error.to_string()),
        };
        let started = Instant::now();
        match self.transport.deliver(&job.id, &mail).await {
            Ok(Delivered { response, accepted, rejected, provider }) => {
                self.health.report("smtp", Ok(()));
                let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(job_id = job.id, attempt = job.attempts_made + 1, ms, "Mail accepted");
                Outcome::Completed(json!({
                    "messageId": mail.message_id, "response": response, "accepted": accepted, "rejected": rejected,
                    "provider": provider, "ms": ms,
                }))
            }
            Err(Undelivered { reason, is_final, is_ambiguous, is_provider }) => {
                self.health.report("smtp", if is_provider { Err(reason.clone()) } else { Ok(()) });
                if is_ambiguous {
                    metrics::counter!("mailer_ambiguous_total").increment(1);
                }
                tracing::warn!(
                    job_id = job.id,
                    attempt = job.attempts_made + 1,
                    reason,
                    possible_duplicate = is_ambiguous,
                    "Mail not accepted"
                );
                if is_final { unrecoverable(reason) } else { Outcome::Failed(Failure::new(reason)) }
            }
        }
    }
}

fn unrecoverable(reason: String) -> Outcome {
    Outcome::Unrecoverable(Failure::new(reason))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
