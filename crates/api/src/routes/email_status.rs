//! How far a mail has come, as administrators see it.

use std::borrow::Cow;

use examhall_core::{Priority, Timestamp};
use examhall_delivery::{LedgerEntry, RecipientReport};
use examhall_queue::{JobRecord, State as JobState};
use examhall_store::{MailOutcome, MailRecord};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// How far a mail has come.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Email")]
pub(super) struct EmailStatus {
    job_id: String,
    #[schemars(with = "JobStateWord")]
    state: JobState,
    attempts_made: u32,
    attempts: u32,
    /// 10 goes first.
    #[schemars(range(min = 1, max = 10))]
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_at: Option<Timestamp>,
    /// `bounced` or `complained`, if that became of it after a server had accepted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// What was reported of it after a server had accepted it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reports: Vec<ReportView>,
}

/// What was reported of one recipient.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct ReportView {
    /// `hardBounce`, `softBounce` or `complaint`.
    kind: &'static str,
    recipient: String,
    reason: String,
    /// Who reported: a provider, or `dsn`.
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

impl From<RecipientReport> for ReportView {
    fn from(one: RecipientReport) -> Self {
        let RecipientReport { kind, recipient, reason, source, at } = one;
        Self { kind: kind.as_str(), recipient, reason, source, at: moment(Some(at)) }
    }
}

/// The word for a job's state.
pub(super) struct JobStateWord;

impl JsonSchema for JobStateWord {
    fn schema_name() -> Cow<'static, str> {
        "JobState".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": JobState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>()})
    }
}

impl EmailStatus {
    /// Of a job in the queue.
    pub(super) fn of_job(job: &JobRecord) -> Self {
        let message_id = job.returnvalue.as_ref().and_then(|value| value["messageId"].as_str());
        Self {
            job_id: job.id.clone(),
            state: job.state,
            attempts_made: job.attempts_made,
            attempts: job.options.retry.attempts.max(1), // BullMQ's 0 is one try too
            priority: Priority::from_bullmq(job.priority).level(),
            failed_reason: job.failed_reason.clone(),
            message_id: message_id.map(ToOwned::to_owned),
            created_at: moment(Some(job.timestamp)),
            processed_at: moment(job.processed_on),
            finished_at: moment(job.finished_on),
            next_try_at: moment(job.due),
            outcome: None,
            reports: Vec::new(),
        }
    }

    /// Adds what the ledger knows of the mail after it was accepted.
    pub(super) fn with_entry(self, entry: Option<LedgerEntry>) -> Self {
        let Some(entry) = entry.filter(|entry| entry.state.was_accepted()) else { return self };
        let message_id = self.message_id.or_else(|| Some(entry.message_id).filter(|id| !id.is_empty()));
        let reports = entry.reports.into_iter().map(ReportView::from).collect();
        Self { outcome: entry.state.feedback(), reports, message_id, ..self }
    }

    /// Of a row of the outbox that has no job, not yet or not any more.
    pub(super) fn of_row(job_id: &str, record: &MailRecord) -> Self {
        let state = match record.outcome {
            None => JobState::Waiting,
            Some(MailOutcome::Sent) => JobState::Completed,
            Some(MailOutcome::Failed | MailOutcome::Removed) => JobState::Failed,
        };
        let mail = &record.waiting.mail;
        Self {
            job_id: job_id.to_owned(),
            state,
            attempts_made: 0,
            attempts: examhall_core::EmailJob::ATTEMPTS,
            priority: mail.priority.level(),
            failed_reason: (record.outcome == Some(MailOutcome::Removed)).then(|| "removed".to_owned()),
            message_id: None,
            created_at: Some(record.waiting.created_at),
            processed_at: None,
            finished_at: record.outcome_at,
            next_try_at: None,
            outcome: None,
            reports: Vec::new(),
        }
    }
}

/// A moment that the queue names, where it names one that can be shown.
pub(super) fn moment(ms: Option<i64>) -> Option<Timestamp> {
    ms.and_then(Timestamp::foreign)
}
