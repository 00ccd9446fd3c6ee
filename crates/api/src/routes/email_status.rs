//! How far a mail has come, as administrators see it.

use std::borrow::Cow;

use examhall_core::{EmailAddress, EmailJob, MailClass, MailQuery, MailState, Priority, Recipients, Timestamp};
use examhall_delivery::{DeliveryState, LedgerEntry, RecipientReport};
use examhall_queue::{JobSummary, State as JobState};
use examhall_store::{MailOutcome, MailRow};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

/// How far a mail has come.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Email")]
pub(crate) struct EmailStatus {
    pub(crate) job_id: String,
    #[schemars(with = "JobStateWord")]
    pub(crate) state: JobState,
    /// Who gets it, copies included; empty if that is not known without its body.
    pub(crate) to: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// `verification`, `reset`, `result`, `invitation` or `other`, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<&'static str>,
    pub(crate) attempts_made: u32,
    pub(crate) attempts: u32,
    /// 10 goes first.
    #[schemars(range(min = 1, max = 10))]
    pub(crate) priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) processed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_try_at: Option<Timestamp>,
    /// What became of it, where its state says less: `outbox`, `held`, `suppressed`, `expired`, `withheld`, `removed`,
    /// `bounced` or `complained`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<&'static str>,
    /// Whether it may have been delivered although no server has confirmed it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) in_doubt: bool,
    /// What can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<&'static str>,
    /// What was reported of it after a server had accepted it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reports: Vec<ReportView>,
}

/// What was reported of one recipient.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct ReportView {
    /// `hardBounce`, `softBounce` or `complaint`.
    pub(crate) kind: &'static str,
    pub(crate) recipient: String,
    pub(crate) reason: String,
    /// Who reported: a provider, or `dsn`.
    pub(crate) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Timestamp>,
}

impl From<&RecipientReport> for ReportView {
    fn from(one: &RecipientReport) -> Self {
        let RecipientReport { kind, recipient, reason, source, at } = one.clone();
        Self { kind: kind.as_str(), recipient, reason, source, at: moment(Some(at)) }
    }
}

/// The word for a job's state.
pub(crate) struct JobStateWord;

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
    pub(crate) fn of_job(job: &JobSummary) -> Self {
        let picked = |name: &str| job.picked.as_ref().and_then(|fields| fields.get(name));
        let text = |name: &str| picked(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let returned = job.returnvalue.as_ref().and_then(|value| value["messageId"].as_str());
        let to = ["to", "cc", "bcc"].into_iter().filter_map(picked).flat_map(recipients).collect();
        let class = job.picked.as_ref().map(|_| MailClass::from_word(&text("class").unwrap_or_default()).as_str());
        Self {
            job_id: job.id.clone(),
            state: job.state,
            to,
            subject: text("subject"),
            class,
            attempts_made: job.attempts_made,
            attempts: job.options.retry.attempts.max(1), // BullMQ's 0 is one try too
            priority: Priority::from_bullmq(job.priority).level(),
            failed_reason: job.failed_reason.clone(),
            message_id: returned.map(ToOwned::to_owned).or_else(|| text("messageId")),
            created_at: moment(Some(job.timestamp)),
            processed_at: moment(job.processed_on),
            finished_at: moment(job.finished_on),
            next_try_at: moment(job.due),
            outcome: None,
            in_doubt: false,
            remedy: None,
            reports: Vec::new(),
        }
    }

    /// Of a row of the outbox that has no job, not yet or not any more.
    pub(crate) fn of_row(job_id: &str, row: &MailRow) -> Self {
        let state = match row.outcome {
            None => JobState::Waiting,
            Some(MailOutcome::Sent) => JobState::Completed,
            Some(MailOutcome::Failed | MailOutcome::Removed) => JobState::Failed,
        };
        let outcome = (row.outcome.is_none() && row.enqueued_at.is_none()).then_some(MailState::Outbox.as_str());
        Self {
            priority: row.priority.level(),
            failed_reason: (row.outcome == Some(MailOutcome::Removed)).then(|| "removed".to_owned()),
            created_at: Some(row.created_at),
            finished_at: row.outcome_at,
            outcome,
            ..Self::unknown(job_id, state)
        }
        .with_row(row)
    }

    /// Of a mail that only the ledger knows.
    pub(crate) fn of_entry(job_id: &str, entry: &LedgerEntry) -> Self {
        let state = match entry.state {
            DeliveryState::Accepted | DeliveryState::Bounced | DeliveryState::Complained => JobState::Completed,
            DeliveryState::Refused | DeliveryState::Held => JobState::Failed,
            DeliveryState::Intent | DeliveryState::Deferred => JobState::Waiting,
        };
        let accepted = entry.result["accepted"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            to: accepted.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
            created_at: moment(entry.job_timestamp),
            finished_at: moment(Some(entry.at)),
            failed_reason: entry.result.as_str().filter(|_| state == JobState::Failed).map(ToOwned::to_owned),
            ..Self::unknown(job_id, state)
        }
    }

    fn unknown(job_id: &str, state: JobState) -> Self {
        Self {
            job_id: job_id.to_owned(),
            state,
            to: Vec::new(),
            subject: None,
            class: None,
            attempts_made: 0,
            attempts: EmailJob::ATTEMPTS,
            priority: Priority::DEFAULT.level(),
            failed_reason: None,
            message_id: None,
            created_at: None,
            processed_at: None,
            finished_at: None,
            next_try_at: None,
            outcome: None,
            in_doubt: false,
            remedy: None,
            reports: Vec::new(),
        }
    }

    /// Adds what the outbox knows and the job does not say.
    pub(crate) fn with_row(mut self, row: &MailRow) -> Self {
        if self.to.is_empty() {
            self.to.push(row.to.as_str().to_owned());
        }
        self.class.get_or_insert(row.class.as_str());
        self
    }

    /// Adds what the ledger knows, and judges what became of the mail.
    pub(crate) fn with_entry(mut self, entry: Option<&LedgerEntry>) -> Self {
        if let Some(entry) = entry.filter(|entry| entry.state.was_accepted()) {
            self.outcome = entry.state.feedback();
            self.reports = entry.reports.iter().map(ReportView::from).collect();
            self.message_id = self.message_id.or_else(|| Some(entry.message_id.clone()).filter(|id| !id.is_empty()));
        } else if self.state == JobState::Failed {
            let reason = self.failed_reason.as_deref().unwrap_or_default();
            self.outcome = MailState::of_reason(reason).map(MailState::as_str);
            self.in_doubt = MailState::is_doubt(reason) || entry.is_some_and(|entry| entry.in_doubt);
        }
        let became = self.outcome.and_then(|word| word.parse().ok());
        let became = became.or(self.in_doubt.then_some(MailState::InDoubt));
        self.remedy = became.and_then(MailState::remedy);
        self
    }

    /// Notes the `Message-ID` by which it was found.
    pub(crate) fn named(mut self, message_id: &str) -> Self {
        self.message_id.get_or_insert_with(|| format!("<{message_id}>"));
        self
    }

    /// Returns whether it is what a query wants.
    pub(crate) fn meets(&self, query: &MailQuery) -> bool {
        let MailQuery { to, id, message_id, subject, class, reason, state, before, after, text } = query;
        let holds = |text: Option<&String>, part: &String| {
            text.is_some_and(|text| text.to_lowercase().contains(&part.to_lowercase()))
        };
        let bare = |id: &str| id.trim_matches(['<', '>']).to_ascii_lowercase();
        to.as_ref().is_none_or(|to| self.to.iter().any(|one| to.is_met_by(one)))
            && id.as_ref().is_none_or(|id| *id == self.job_id)
            && message_id.as_ref().is_none_or(|id| self.message_id.as_ref().is_some_and(|own| bare(own) == bare(id)))
            && subject.as_ref().is_none_or(|part| holds(self.subject.as_ref(), part))
            && class.is_none_or(|class| self.class == Some(class.as_str()))
            && reason.as_ref().is_none_or(|part| holds(self.failed_reason.as_ref(), part))
            && state.is_none_or(|state| self.is_in(state))
            && before.is_none_or(|before| self.created_at.is_some_and(|at| at < before))
            && after.is_none_or(|after| self.created_at.is_some_and(|at| at >= after))
            && text.as_ref().is_none_or(|part| {
                [self.subject.as_ref(), self.failed_reason.as_ref()].into_iter().any(|text| holds(text, part))
                    || self.to.iter().any(|one| holds(Some(one), part))
            })
    }

    fn is_in(&self, state: MailState) -> bool {
        let is_outbox = self.outcome == Some(MailState::Outbox.as_str());
        match state {
            MailState::InDoubt => self.in_doubt,
            MailState::Waiting => self.state == JobState::Waiting && !is_outbox,
            state if self.outcome == Some(state.as_str()) => true,
            state => self.state.as_str() == state.as_str(),
        }
    }
}

/// Reads recipients as Node programs write them: text, `{name, address}`, or a list of those.
fn recipients(value: &Value) -> Vec<String> {
    serde_json::from_value::<Recipients>(value.clone()).map(|Recipients(all)| all).unwrap_or_default()
}

/// Returns the canonical addresses of recipients.
pub(crate) fn addresses(recipients: &[String]) -> Vec<String> {
    let each = recipients.iter().flat_map(|one| one.split(','));
    let bare =
        each.map(|one| one.rsplit_once('<').map_or(one, |(_, address)| address).trim_end_matches([' ', '>']).trim());
    bare.filter_map(|one| EmailAddress::parse(one).ok()).map(|one| one.canonical()).collect()
}

/// A moment that the queue names, where it names one that can be shown.
pub(crate) fn moment(ms: Option<i64>) -> Option<Timestamp> {
    ms.and_then(Timestamp::foreign)
}
