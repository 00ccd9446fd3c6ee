//! Answers "Is my e-mail going out?" in one sentence: a pure function of what is known.
//!
//! ```text
//!   heartbeats of the mailers, pause, waiting mails, the last ten minutes ──> MailFacts ──> mail_health ──> MailHealth
//! ```
//! The console, `GET /queue` and `mailer queue status` show the same sentence. The reasons are tried in the order in which an
//! operator would exclude them: what stops all mails first.

mod providers;
mod status;
#[cfg(test)]
mod tests;
mod waiting;
mod words;

use serde::Serialize;

use self::{
    providers::of_providers,
    words::{ago, clock, mails, span},
};
pub use self::{
    status::{Circuit, MailerStatus, ProviderStatus, RateUse},
    waiting::{ClassBacklog, OutboxBacklog, PriorityBacklog, WaitingClass, backlog_by_class},
    words::{bounded_count, with_commas},
};
use crate::Timestamp;

/// Share of failed mails, in percent of those that ended lately, from which mails count as failing ...
const FAILING: u64 = 10;
/// ... and from which most of them do ...
const MOST_FAIL: u64 = 50;
/// ... if at least this many have failed: one wrong address is no outage.
const ENOUGH: u64 = 3;
/// How long a mail may wait in the database before it is in the queue, in ms.
const OUTBOX_TARGET: i64 = 30_000;

/// What is known of the mail service.
#[derive(Clone, Debug, PartialEq)]
pub struct MailFacts {
    /// Time at which the facts were read.
    pub now: Timestamp,
    /// Code with which Redis refuses writes, such as `OOM`, if it does.
    pub write_refusal: Option<String>,
    /// Who paused the queue, if it is paused.
    pub pause: Option<Pause>,
    /// The mailers whose heartbeat is fresh.
    pub mailers: Vec<MailerStatus>,
    /// Waiting mails of each class.
    pub waiting: Vec<ClassBacklog>,
    /// How mails ended lately.
    pub recent: RecentMails,
}

/// A pause of the queue. A pause by another program has no name, time or reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Name of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How mails ended within the last ten minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecentMails {
    /// Accepted by a server.
    pub sent: u64,
    /// Failed for good.
    pub failed: u64,
    /// The failure that was met last, such as `550 5.7.1 at rcpt`.
    pub last_failure: Option<String>,
}

/// How well mails go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum HealthLevel {
    /// Mails go out.
    Good,
    /// Mails go out, but late, or not all of them.
    Warning,
    /// No mail goes out.
    Bad,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MailHealth {
    /// How well mails go out.
    pub level: HealthLevel,
    /// The answer in words; times are UTC.
    pub sentence: String,
    /// What to do; empty if nothing is to be done.
    pub advice: String,
    /// Path of the console's page that shows more.
    pub link: &'static str,
}

impl MailHealth {
    /// The answer if Redis cannot be asked.
    pub fn redis_unavailable() -> Self {
        let advice =
            "Mails stay in the database and are sent once Redis is back. Check its memory, its disk and the network.";
        Self::new(HealthLevel::Bad, "No: Redis does not answer.", advice, "/console")
    }

    fn new(level: HealthLevel, sentence: impl Into<String>, advice: &str, link: &'static str) -> Self {
        Self { level, sentence: sentence.into(), advice: advice.to_owned(), link }
    }
}

/// Answers whether mails go out.
///
/// ```
/// use examhall_core::{HealthLevel, MailFacts, RecentMails, Timestamp, mail_health};
///
/// let facts = MailFacts {
///     now: Timestamp::from_millis(1_800_000_000_000),
///     write_refusal: None,
///     pause: None,
///     mailers: Vec::new(),
///     waiting: Vec::new(),
///     recent: RecentMails::default(),
/// };
/// let health = mail_health(&facts);
/// assert_eq!((health.level, health.sentence.as_str()), (HealthLevel::Bad, "No mailer runs."));
/// ```
pub fn mail_health(facts: &MailFacts) -> MailHealth {
    refused_writes(facts)
        .or_else(|| paused(facts))
        .or_else(|| no_mailer(facts))
        .or_else(|| of_providers(facts))
        .or_else(|| most_fail(facts))
        .or_else(|| late(facts))
        .or_else(|| some_fail(facts))
        .unwrap_or_else(|| good(facts))
}

/// Nothing can be queued, taken or recorded; mailers cannot even send a heartbeat.
fn refused_writes(facts: &MailFacts) -> Option<MailHealth> {
    let code = facts.write_refusal.as_deref()?;
    let (why, advice) = match code {
        "OOM" => ("Redis is full", "Raise `maxmemory`, or remove jobs that have ended: `mailer queue clean`."),
        "READONLY" => ("Redis is a read-only replica", "Let `REDIS_URL` lead to the master."),
        "MISCONF" => ("Redis cannot write to its disk", "Free its disk, or give it the right to write there."),
        "NOREPLICAS" => ("Redis has too few replicas", "Bring them back, or lower its `min-replicas-to-write`."),
        _ => ("Redis refuses writes", "Its log and its users' rights show why."),
    };
    let advice = format!("{advice} New mails wait in the database meanwhile.");
    Some(MailHealth::new(HealthLevel::Bad, format!("No: {why} ({code})."), &advice, "/console"))
}

fn paused(facts: &MailFacts) -> Option<MailHealth> {
    let Pause { by, at, reason } = facts.pause.as_ref()?;
    let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let at = at.map(|at| format!(" at {}", clock(at, facts.now))).unwrap_or_default();
    let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let sentence = format!("No: paused{by}{at}{reason}.");
    let advice = "Resume the queue once the reason is gone: `mailer queue resume`.";
    Some(MailHealth::new(HealthLevel::Bad, sentence, advice, "/console"))
}

fn no_mailer(facts: &MailFacts) -> Option<MailHealth> {
    let advice = "Start one: `systemctl status examhall-mailer` or `kubectl get pods` shows why it has ended. Mails wait and \
                  are sent then.";
    facts.mailers.is_empty().then(|| MailHealth::new(HealthLevel::Bad, "No mailer runs.", advice, "/console/mailers"))
}

/// Mails that are permanently refused do not wait: without this, an answer that only looks at waiting mails would be "yes".
fn most_fail(facts: &MailFacts) -> Option<MailHealth> {
    let share = failed_share(&facts.recent)?;
    (share >= MOST_FAIL)
        .then(|| MailHealth::new(HealthLevel::Bad, format!("No: {}.", failures(&facts.recent)), FIX, FAILURES))
}

fn some_fail(facts: &MailFacts) -> Option<MailHealth> {
    let share = failed_share(&facts.recent)?;
    let sentence = || format!("Yes, but {}.", failures(&facts.recent));
    (share >= FAILING).then(|| MailHealth::new(HealthLevel::Warning, sentence(), FIX, FAILURES))
}

const FAILURES: &str = "/console/failures";
const FIX: &str = "Look at the servers' replies; once the cause is gone, retry the group.";

fn failed_share(recent: &RecentMails) -> Option<u64> {
    let ended = recent.sent + recent.failed;
    (recent.failed >= ENOUGH).then(|| recent.failed * 100 / ended.max(1))
}

fn failures(recent: &RecentMails) -> String {
    let last = recent.last_failure.as_ref().map(|last| format!(", the last with {last}")).unwrap_or_default();
    format!("{} of {} failed within ten minutes{last}", recent.failed, mails(recent.sent + recent.failed))
}

/// A class waits longer than its target.
fn late(facts: &MailFacts) -> Option<MailHealth> {
    let late = |class: &&ClassBacklog| class.is_late(facts.now);
    let worst = facts.waiting.iter().find(late)?; // the most urgent class comes first
    let waits = worst.waits(facts.now)?;
    let busy: u32 = facts.mailers.iter().map(|mailer| mailer.busy).sum();
    let slots: u32 = facts.mailers.iter().map(|mailer| mailer.slots).sum();
    let is_outbox = worst.outbox_since.is_some_and(|since| ago(since, facts.now) > OUTBOX_TARGET);
    let (why, advice) = if is_outbox {
        (
            format!("{} not in the queue yet", are(worst.outbox)),
            "Does an API run, and does Redis take writes? See `/readyz` of the API.",
        )
    } else if busy >= slots {
        (format!("all {slots} slots are busy"), "Start more mailers, as long as the provider allows the connections.")
    } else {
        (
            format!("{busy} of {slots} slots are busy"),
            "Look at the mailers: does a rate hold mails, or is a server slow?",
        )
    };
    let (class, target) = (worst.class.as_str(), span(i64::from(worst.class.target_seconds()) * 1000));
    let sentence = format!("Late: the oldest {class} mail waits {}, and its target is {target}: {why}.", span(waits));
    Some(MailHealth::new(HealthLevel::Warning, sentence, advice, "/console/mailers"))
}

fn are(count: u64) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", mails(count))
}

fn good(facts: &MailFacts) -> MailHealth {
    let oldest = facts.waiting.iter().find_map(|class| Some((class.class, class.waits(facts.now)?)));
    let sentence = match oldest {
        Some((WaitingClass::Urgent, waits)) => format!("Yes. The oldest urgent mail waits {}.", span(waits)),
        Some(_) => {
            let waits = facts.waiting.iter().filter_map(|class| class.waits(facts.now)).max().unwrap_or_default();
            format!("Yes. The oldest mail waits {}.", span(waits))
        }
        None => "Yes. No mail waits.".to_owned(),
    };
    MailHealth::new(HealthLevel::Good, sentence, "", "/console")
}

impl MailFacts {
    /// Number of waiting mails.
    pub fn waiting(&self) -> u64 {
        self.waiting.iter().map(|class| class.queued + class.outbox).sum()
    }
}
