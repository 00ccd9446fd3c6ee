//! Records reports of accepted mails in the ledger and the suppression list.

use std::collections::HashMap;

use examhall_core::EmailAddress;
use examhall_redis::{Connection, Route};

use crate::{
    Added, DeliveryState, Error, JobName, Ledger, LedgerEntry, MessageNames, NewSuppression, RecipientReport, Report,
    ReportKind, SuppressionCause, Suppressions, message_names::bare,
};

/// How long an intent may be the youngest entry of a mail that was accepted, in ms: its acceptance is being recorded.
const IN_FLIGHT: i64 = 60_000;
/// Longest reason that is kept, in characters.
const LONGEST_REASON: usize = 500;
/// Most recipients of one mail that the ledger keeps reports of.
const MOST_REPORTS: usize = 2 * examhall_core::EmailJob::MAX_RECIPIENTS;

/// Records reports. Cheap to clone.
///
/// Recording is idempotent: a report that comes twice changes nothing, and so counts once.
#[derive(Clone, Debug)]
pub struct Reports {
    /// Ledger of the mails.
    pub ledger: Ledger,
    /// Names of mails that do not tell their job.
    pub names: MessageNames,
    /// Where addresses are suppressed.
    pub suppressions: Suppressions,
    /// Where totals are kept, under `totals`.
    pub connection: Connection,
    /// Key of the totals, a hash.
    pub totals: String,
}

/// What became of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The mail's job, if the mail is known.
    pub job_id: Option<String>,
    /// Whether something of it was new.
    pub is_new: bool,
    /// Number of addresses that were suppressed.
    pub suppressed: u64,
    /// Number of addresses that were held instead, since the source reports too many.
    pub held: u64,
    /// Whether this report exceeded what its source may suppress within a minute.
    pub trips_brake: bool,
}

/// How many reports of one kind one source has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportCount {
    /// The source.
    pub source: String,
    /// The kind; `unknown` counts mails that the ledger does not know.
    pub kind: String,
    /// The number.
    pub count: u64,
}

struct Found {
    job_id: String,
    entry: LedgerEntry,
}

impl Reports {
    /// Records a report.
    ///
    /// # Errors
    /// Returns [`Error::InFlight`] if the mail's acceptance is just being recorded, and [`Error::Redis`] if Redis does not
    /// answer: the report is to be recorded again.
    pub async fn record(&self, report: &Report) -> Result<Recorded, Error> {
        let found = self.find(&report.names).await?;
        if let Some(Found { entry, .. }) = &found
            && entry.state == DeliveryState::Intent
            && (0..IN_FLIGHT).contains(&(report.at - entry.at))
        {
            return Err(Error::InFlight);
        }
        let recipients = recipients(report, found.as_ref().map(|found| &found.entry));
        let mut recorded = Recorded::default();
        let job_id = found.as_ref().map_or("", |found| found.job_id.as_str());
        self.suppress(report, &recipients, job_id, &mut recorded).await?;
        if let Some(Found { job_id, .. }) = found {
            recorded.is_new |= self.note(&job_id, report, &recipients).await?;
            recorded.job_id = Some(job_id);
        }
        if recorded.job_id.is_none() {
            self.count(report.source, "unknown").await?;
        } else if recorded.is_new {
            self.count(report.source, report.kind.as_str()).await?;
        }
        Ok(recorded)
    }

    /// Returns how many reports there were, since Redis knows.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn totals(&self) -> Result<Vec<ReportCount>, Error> {
        let args = vec![self.totals.as_str().into()];
        let counts: HashMap<String, u64> = self.connection.command("HGETALL", Route::Key(&self.totals), args).await?;
        let read = |(name, count): (String, u64)| {
            let (source, kind) = name.split_once(' ')?;
            Some(ReportCount { source: source.to_owned(), kind: kind.to_owned(), count })
        };
        Ok(counts.into_iter().filter_map(read).collect())
    }

    async fn count(&self, source: &str, kind: &str) -> Result<(), Error> {
        let args = vec![self.totals.as_str().into(), format!("{source} {kind}").into(), 1.into()];
        self.connection.command::<i64>("HINCRBY", Route::Key(&self.totals), args).await?;
        Ok(())
    }

    /// Finds the mail that one of the names names, and that the ledger knows under this name.
    async fn find(&self, names: &[String]) -> Result<Option<Found>, Error> {
        for name in names {
            if let Some(job) = JobName::of(name).or_else(|| JobName::of_local_part(name)) {
                let entry = self.ledger.get(job.id).await?;
                let is_named = |entry: &LedgerEntry| {
                    entry.job_timestamp == job.timestamp
                        && (!name.contains('@') || bare(&entry.message_id).eq_ignore_ascii_case(bare(name)))
                };
                if let Some(entry) = entry.filter(is_named) {
                    return Ok(Some(Found { job_id: job.id.to_owned(), entry }));
                }
            }
            if let Some(job_id) = self.names.get(name).await?
                && let Some(entry) = self.ledger.get(&job_id).await?
            {
                return Ok(Some(Found { job_id, entry }));
            }
        }
        Ok(None)
    }

    async fn suppress(
        &self,
        report: &Report,
        recipients: &[String],
        job_id: &str,
        recorded: &mut Recorded,
    ) -> Result<(), Error> {
        let cause = match report.kind {
            ReportKind::HardBounce => SuppressionCause::Bounced,
            ReportKind::Complaint => SuppressionCause::Complained,
            ReportKind::SoftBounce => return Ok(()),
        };
        let reason = shortened(&report.reason);
        for address in recipients {
            let address = &canonical(address);
            let new = NewSuppression { address, reason: &reason, cause, source: report.source, job_id };
            match self.suppressions.add(new).await? {
                Added::Known => continue,
                Added::New => recorded.suppressed += 1,
                Added::Held { others } => {
                    recorded.held += 1 + others;
                    recorded.trips_brake |= others > 0;
                }
            }
            recorded.is_new = true;
        }
        Ok(())
    }

    /// Notes the report in the mail's entry; returns whether it was not there. A mail that no server has accepted, as far as
    /// the ledger knows, may still be sent: its entry stays.
    async fn note(&self, job_id: &str, report: &Report, recipients: &[String]) -> Result<bool, Error> {
        loop {
            let known = self.ledger.read(job_id).await?;
            let Some(mut entry) = known.entry().filter(|entry| entry.state.was_accepted()) else { return Ok(false) };
            let before = entry.reports.len();
            add(&mut entry.reports, report, recipients);
            if entry.reports.len() == before {
                return Ok(false);
            }
            entry.state = if entry.reports.iter().any(|one| one.kind == ReportKind::Complaint) {
                DeliveryState::Complained
            } else {
                DeliveryState::Bounced
            };
            if self.ledger.replace(job_id, &known, &entry).await?.is_some() {
                return Ok(true);
            }
        }
    }
}

/// Returns the recipients that a report is believed of.
fn recipients(report: &Report, entry: Option<&LedgerEntry>) -> Vec<String> {
    let accepted = entry.and_then(|entry| entry.result["accepted"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let accepted: Vec<&str> = accepted.iter().filter_map(|address| address.as_str()).collect();
    match (&report.recipients[..], &accepted[..]) {
        ([], [only]) => vec![(*only).to_owned()],
        (named, _) if report.is_trusted => named.to_vec(),
        (named, accepted) => {
            let known: Vec<_> = accepted.iter().map(|address| canonical(address)).collect();
            named.iter().filter(|address| known.contains(&canonical(address))).cloned().collect()
        }
    }
}

/// Adds what is not there yet.
fn add(reports: &mut Vec<RecipientReport>, report: &Report, recipients: &[String]) {
    for recipient in recipients {
        let name = canonical(recipient);
        let is_there = reports.iter().any(|one| one.kind == report.kind && canonical(&one.recipient) == name);
        if !is_there && reports.len() < MOST_REPORTS {
            reports.push(RecipientReport {
                kind: report.kind,
                recipient: recipient.clone(),
                reason: shortened(&report.reason),
                source: report.source.to_owned(),
                at: report.at,
            });
        }
    }
}

fn canonical(address: &str) -> String {
    EmailAddress::from_stored(address).canonical()
}

fn shortened(reason: &str) -> String {
    let words = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(recipients: &[&str], is_trusted: bool) -> Report {
        Report {
            names: Vec::new(),
            recipients: recipients.iter().map(ToString::to_string).collect(),
            kind: ReportKind::HardBounce,
            reason: "550\n 5.1.1  x".to_owned(),
            source: "ses",
            at: 7,
            is_trusted,
        }
    }

    #[test]
    fn only_proven_reporters_are_believed_of_every_address() {
        let entry = |accepted: &[&str]| LedgerEntry { result: json!({"accepted": accepted}), ..LedgerEntry::default() };
        let of =
            |named: &[&str], is_trusted, entry: Option<&LedgerEntry>| recipients(&report(named, is_trusted), entry);
        let two = entry(&["ada@x.example", "Bob@X.example"]);
        assert_eq!(of(&["eve@x.example"], true, None), ["eve@x.example"]);
        assert_eq!(of(&["eve@x.example"], true, Some(&two)), ["eve@x.example"]);
        assert!(of(&["eve@x.example"], false, None).is_empty());
        assert_eq!(of(&["eve@x.example", "bob@x.example"], false, Some(&two)), ["bob@x.example"]);
        assert!(of(&[], true, Some(&two)).is_empty(), "which of them?");
        for is_trusted in [true, false] {
            assert_eq!(of(&[], is_trusted, Some(&entry(&["ada@x.example"]))), ["ada@x.example"]);
        }
    }

    #[test]
    fn a_report_is_noted_once_for_each_recipient() {
        let mut reports = Vec::new();
        add(&mut reports, &report(&["ada@x.example"], true), &["ada@x.example".to_owned()]);
        add(&mut reports, &report(&["ada@x.example"], true), &["ADA@X.example".to_owned(), "bob@x.example".to_owned()]);
        let noted: Vec<_> = reports.iter().map(|one| (one.recipient.as_str(), one.reason.as_str())).collect();
        assert_eq!(noted, [("ada@x.example", "550 5.1.1 x"), ("bob@x.example", "550 5.1.1 x")]);
    }
}
