//! What happened to one mail, from all who know of it: outbox, queue, the job's log, ledger and suppressions.

use examhall_core::Timestamp;
use examhall_delivery::{AttemptNote, DeliveryState, LedgerEntry, Suppression};
use examhall_queue::{JobSummary, State as JobState};
use examhall_store::{MailOutcome, MailRow};
use schemars::JsonSchema;
use serde::Serialize;

use super::{plan::SHOWN, search};
use crate::{
    http::problem::Problem,
    relay::row_of,
    routes::email_status::{EmailStatus, addresses, moment},
    state::State,
};

/// Lines of a job's log that are read.
const LINES: u32 = 500;

/// What is known of a mail.
pub(crate) struct History {
    pub(crate) email: EmailStatus,
    /// Whether its job is in the queue.
    pub(crate) has_job: bool,
    pub(crate) events: Vec<MailEvent>,
    /// Entries of its recipients.
    pub(crate) suppressions: Vec<Suppression>,
}

/// Something that happened to a mail, or will.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EmailEvent")]
pub(crate) struct MailEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Timestamp>,
    /// `committed`, `queued`, `attempt`, `started`, `deferred`, `accepted`, `failed`, `held`, `inDoubt`, `bounced`,
    /// `complained`, `retried`, `removed`, `nextTry` or `log`.
    pub(crate) kind: &'static str,
    /// What a server or a process said of it, in its own words.
    pub(crate) text: String,
    /// Mail server or provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<String>,
    /// How long it took, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<u64>,
}

/// What is known of a mail, by those who know.
#[derive(Default)]
struct Known {
    job: Option<JobSummary>,
    row: Option<MailRow>,
    entry: Option<LedgerEntry>,
    log: Vec<String>,
}

/// Reads what happened to a mail; nothing if nobody knows it.
pub(crate) async fn read(state: &State, id: &str) -> Result<Option<History>, Problem> {
    let Some(email) = search::find(state, id).await? else { return Ok(None) };
    let ids = [id.to_owned()];
    let job = state.queue.summaries(&ids, &SHOWN).await?.pop();
    let row = match row_of(id) {
        Some(row) => state.store.outbox.rows(&[row]).await?.pop(),
        None => None,
    };
    let entry =
        state.ledger.get(id).await?.filter(|entry| {
            job.as_ref().is_none_or(|job| entry.job_timestamp.is_none_or(|then| then == job.timestamp))
        });
    let log = if job.is_some() { state.queue.logs(id, 0, LINES).await? } else { Vec::new() };
    let has_job = job.is_some();
    let mut suppressions = Vec::new();
    for address in addresses(&email.to) {
        suppressions.extend(state.suppressions.get(&address).await?);
    }
    Ok(Some(History { email, has_job, events: events(Known { job, row, entry, log }), suppressions }))
}

impl MailEvent {
    fn new(kind: &'static str, at: Option<Timestamp>, text: impl Into<String>) -> Self {
        Self { at, kind, text: text.into(), provider: None, duration_ms: None }
    }

    fn by(self, provider: Option<&str>, duration_ms: Option<u64>) -> Self {
        let provider = provider.filter(|name| !name.is_empty()).map(ToOwned::to_owned);
        Self { provider, duration_ms, ..self }
    }
}

/// Puts what is known in the order in which it happened. What has no time stays behind what was noted before it.
fn events(known: Known) -> Vec<MailEvent> {
    let Known { job, row, entry, log } = known;
    let mut events = Vec::new();
    if let Some(row) = &row {
        events.push(MailEvent::new("committed", Some(row.created_at), format!("template {}", row.template)));
    }
    let queued = row.as_ref().and_then(|row| row.enqueued_at).or_else(|| moment(job.as_ref().map(|job| job.timestamp)));
    events.extend(queued.map(|at| MailEvent::new("queued", Some(at), "")));
    let mut last = queued;
    for line in &log {
        let event = match line.parse::<AttemptNote>() {
            Ok(note) => MailEvent::new("attempt", Some(note.at), note.reason).by(Some(&note.provider), Some(note.ms)),
            Err(_) => MailEvent::new("log", last, line),
        };
        last = event.at;
        events.push(event);
    }
    events.extend(job.as_ref().map(of_job).into_iter().flatten());
    events.extend(entry.as_ref().map(of_entry).into_iter().flatten());
    if let Some(row) = row.filter(|row| row.outcome == Some(MailOutcome::Removed)) {
        events.push(MailEvent::new("removed", row.outcome_at, "by an operator"));
    }
    events.sort_by_key(|event| event.at); // stable
    events
}

fn of_job(job: &JobSummary) -> Vec<MailEvent> {
    let mut events = Vec::new();
    if job.state == JobState::Active {
        let by = job.processed_by.as_deref().unwrap_or_default();
        events.push(MailEvent::new("started", moment(job.processed_on), by));
    }
    events.extend(moment(job.retried_on).map(|at| MailEvent::new("retried", Some(at), "by an operator")));
    if job.state == JobState::Failed {
        let reason = job.failed_reason.clone().unwrap_or_default();
        events.push(MailEvent::new("failed", moment(job.finished_on), reason));
    }
    if job.state == JobState::Delayed {
        let reason = job.failed_reason.clone().unwrap_or_default();
        events.push(MailEvent::new("nextTry", moment(job.due), reason));
    }
    events
}

fn of_entry(entry: &LedgerEntry) -> Vec<MailEvent> {
    let at = moment(Some(entry.at));
    let mut events = Vec::new();
    match entry.state {
        DeliveryState::Accepted | DeliveryState::Bounced | DeliveryState::Complained => {
            let said = entry.result["response"].as_str().unwrap_or_default();
            let accepted = MailEvent::new("accepted", at, said);
            events.push(accepted.by(entry.result["provider"].as_str(), entry.result["ms"].as_u64()));
        }
        DeliveryState::Held => events.push(MailEvent::new("held", at, "it may have been delivered before")),
        DeliveryState::Intent => {
            events.push(MailEvent::new("inDoubt", at, "about to be delivered, and nobody knows whether it was"));
        }
        DeliveryState::Deferred if entry.deferrals > 0 => {
            let times = if entry.deferrals == 1 { "once".to_owned() } else { format!("{} times", entry.deferrals) };
            events.push(MailEvent::new("deferred", at, format!("{times}, without spending an attempt")));
        }
        DeliveryState::Deferred | DeliveryState::Refused => {}
    }
    for report in &entry.reports {
        let kind = if report.kind.as_str() == "complaint" { "complained" } else { "bounced" };
        let text = format!("{}: {}", report.recipient, report.reason);
        events.push(MailEvent::new(kind, moment(Some(report.at)), text).by(Some(&report.source), None));
    }
    events
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_happened_comes_in_its_order() {
        let line = "1970-01-01T00:00:02.000Z attempt 1 at mail.example:25, 120 ms: 451 4.7.1 try later";
        let known = Known {
            log: vec![line.to_owned(), "possible_duplicate: sent again".to_owned()],
            entry: Some(LedgerEntry {
                state: DeliveryState::Bounced,
                at: 3000,
                result: json!({"response": "250 2.0.0 ok", "provider": "mail.example:25", "ms": 80}),
                reports: vec![examhall_delivery::RecipientReport {
                    kind: examhall_delivery::ReportKind::HardBounce,
                    recipient: "ada@x.example".to_owned(),
                    reason: "550 5.1.1".to_owned(),
                    source: "ses".to_owned(),
                    at: 4000,
                }],
                ..LedgerEntry::default()
            }),
            ..Known::default()
        };
        let found: Vec<_> =
            events(known).into_iter().map(|event| (event.kind, event.text, event.duration_ms)).collect();
        let expected = [
            ("attempt", "451 4.7.1 try later", Some(120)),
            ("log", "possible_duplicate: sent again", None),
            ("accepted", "250 2.0.0 ok", Some(80)),
            ("bounced", "ada@x.example: 550 5.1.1", None),
        ];
        assert_eq!(found, expected.map(|(kind, text, ms)| (kind, text.to_owned(), ms)));
    }
}
