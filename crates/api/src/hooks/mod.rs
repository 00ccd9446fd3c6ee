//! Webhooks of providers: bounces and complaints of mails that they had accepted.
//!
//! ```text
//!   POST ──> origin proven? ──> event read ──> Report ──> delivery ledger, suppression list, totals
//! ```
//! Each provider proves its origin in its own way. What has no proof is refused, and nothing of it is read.

mod mailgun;
mod postmark;
mod provider;
mod resend;
mod ses;
mod sns;
mod sns_client;
mod svix;

use examhall_boot::settings::HookSettings;
use examhall_delivery::{Error, Recorded, Report, Reports, UsedTokens};
use serde_json::Value;

pub(crate) use self::provider::{HookCall, HookProvider, Refusal};
use self::sns_client::SnsClient;

/// Settings of the hooks, and what they record with.
pub(crate) struct Hooks {
    settings: HookSettings,
    sns: SnsClient,
    tokens: UsedTokens,
    reports: Reports,
}

/// What a request reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Reports that changed something.
    pub(crate) recorded: u32,
    /// Reports that were known before.
    pub(crate) known: u32,
    /// Reports of mails that are not known.
    pub(crate) unknown: u32,
}

impl Hooks {
    pub(crate) fn new(settings: HookSettings, reports: Reports) -> Self {
        // As long as their time can be recent.
        let tokens = UsedTokens::new(reports.connection.clone(), "mail:hook:", 2 * provider::WINDOW);
        Self { settings, sns: SnsClient::default(), tokens, reports }
    }

    /// Takes a request.
    ///
    /// # Errors
    /// Returns why it is refused, or is to be sent again.
    pub(crate) async fn take(&self, call: &HookCall<'_>) -> Result<Tally, Refusal> {
        match call.provider {
            HookProvider::Ses => {
                let topics = non_empty(&self.settings.ses_topics)?;
                let message = sns::Message::parse(call.body)?;
                message.check(topics, call.now)?;
                let certificate = self.sns.certificate(&message.certificate_url()?).await?;
                message.verify(&certificate)?;
                match message.kind {
                    sns::Kind::Notification => {
                        self.record_all(&ses::reports(&json(message.text.as_bytes())?, call.now)).await
                    }
                    sns::Kind::SubscriptionConfirmation => {
                        self.sns.confirm(&message.subscribe_url()?).await?;
                        tracing::info!(topic = message.topic, "Subscription of a hook confirmed");
                        Ok(Tally::default())
                    }
                    sns::Kind::UnsubscribeConfirmation => {
                        tracing::warn!(
                            topic = message.topic,
                            "Subscription of a hook ended: no bounces come from it any more"
                        );
                        Ok(Tally::default())
                    }
                }
            }
            HookProvider::Postmark => {
                let login = self.settings.postmark_login.as_ref().ok_or(Refusal::Off)?;
                postmark::verify(login, call.headers)?;
                self.record_all(&postmark::reports(&json(call.body)?, call.now)).await
            }
            HookProvider::Resend => {
                svix::verify(non_empty(&self.settings.resend_keys)?, call)?;
                self.record_all(&resend::reports(&json(call.body)?, call.now)).await
            }
            HookProvider::Mailgun => {
                let keys = non_empty(&self.settings.mailgun_keys)?;
                let body = json(call.body)?;
                let token = mailgun::verify(keys, &body, call.now)?;
                if !self.tokens.take(&token).await? {
                    return Err(Refusal::Forbidden("its token was used before"));
                }
                let recorded = self.record_all(&mailgun::reports(&body, call.now)).await;
                if recorded.is_err() {
                    let _ = self.tokens.give_back(&token).await; // it is sent again, perhaps with another token
                }
                recorded
            }
        }
    }

    async fn record_all(&self, reports: &[Report]) -> Result<Tally, Refusal> {
        let mut tally = Tally::default();
        for report in reports {
            let recorded = self.reports.record(report).await?;
            count(report, &recorded);
            match (&recorded.job_id, recorded.is_new) {
                (None, _) => tally.unknown += 1,
                (Some(_), true) => tally.recorded += 1,
                (Some(_), false) => tally.known += 1,
            }
        }
        Ok(tally)
    }
}

fn count(report: &Report, recorded: &Recorded) {
    let (source, kind) = (report.source, report.kind.as_str());
    let kind = if recorded.job_id.is_none() { "unknown" } else { kind };
    if recorded.is_new || recorded.job_id.is_none() {
        metrics::counter!("mail_hook_reports_total", "provider" => source, "kind" => kind).increment(1);
    }
    metrics::counter!("mailer_suppressions_total").increment(recorded.suppressed);
    if recorded.held > 0 {
        metrics::counter!("mailer_suppressions_held_total", "source" => source).increment(recorded.held);
    }
    if recorded.trips_brake {
        tracing::error!(source, held = recorded.held, "Suppressions are held: too many in a minute from one source");
    }
    if let (Some(job_id), true) = (&recorded.job_id, recorded.is_new) {
        tracing::info!(job_id, source, kind, "Mail came back");
    }
}

fn non_empty<T>(keys: &[T]) -> Result<&[T], Refusal> {
    if keys.is_empty() { Err(Refusal::Off) } else { Ok(keys) }
}

fn json(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::Malformed("the body is no JSON"))
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Later(error)
    }
}
