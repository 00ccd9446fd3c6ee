//! Bounces and complaints in a mailbox: reads them, and records what they report.

mod dsn;
mod maildir;

use std::{io, path::Path};

use anyhow::Context;
use examhall_delivery::{Error, Report};
use serde::Serialize;

pub(crate) use self::maildir::Maildir;
use crate::{app::Mailer, suppressions::report_held};

/// What was found in a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BounceSummary {
    /// Messages that were read.
    read: u64,
    /// Messages with a bounce that changed something.
    bounced: u64,
    /// Messages with a complaint that changed something.
    complained: u64,
    /// Messages whose reports were known before.
    known: u64,
    /// Messages about mails that are not known.
    unknown: u64,
    /// Messages that report nothing final.
    ignored: u64,
    /// Messages that stay: their mail is still being sent, or they cannot be read or moved.
    left: u64,
}

impl BounceSummary {
    fn leave(&mut self, file: &Path, error: &io::Error) {
        self.left += 1;
        tracing::warn!(file = %file.display(), %error, "Message in the mailbox of bounces left alone");
    }

    /// The summary as one line.
    pub(crate) fn line(&self) -> String {
        let Self { read, bounced, complained, known, unknown, ignored, left } = self;
        format!(
            "read {read}: {bounced} bounced, {complained} complained, {known} known, {unknown} unknown, {ignored} ignored; \
             left {left}"
        )
    }
}

/// What one message came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Recorded,
    Known,
    Unknown,
    Ignored,
    Left,
}

impl Mailer {
    /// Records what the new messages of a mailbox report, and marks them as seen.
    ///
    /// # Errors
    /// Returns an error if the mailbox cannot be read, or Redis does not answer: the message in question stays new. A message
    /// that cannot be read or moved is named in the log, and holds up no other.
    pub(crate) async fn read_bounces(&self, maildir: &Maildir) -> anyhow::Result<BounceSummary> {
        let mut summary = BounceSummary::default();
        for file in maildir.unseen()? {
            let message = match maildir::read(&file) {
                Ok(message) => message,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // somebody else has moved it
                Err(error) => {
                    summary.leave(&file, &error);
                    continue;
                }
            };
            let reports = self.reports_in(&message);
            let outcome = self.record_all(&reports).await?;
            summary.read += 1;
            let is_complaint = reports.iter().any(|one| one.kind == examhall_delivery::ReportKind::Complaint);
            *match outcome {
                Outcome::Recorded if is_complaint => &mut summary.complained,
                Outcome::Recorded => &mut summary.bounced,
                Outcome::Known => &mut summary.known,
                Outcome::Unknown => &mut summary.unknown,
                Outcome::Ignored => &mut summary.ignored,
                Outcome::Left => &mut summary.left,
            } += 1;
            if outcome != Outcome::Left
                && let Err(error) = maildir.mark_seen(&file)
            {
                summary.leave(&file, &error);
            }
        }
        Ok(summary)
    }

    /// Returns what a message reports. The address that it came back to names its mail best.
    fn reports_in(&self, message: &[u8]) -> Vec<Report> {
        let author = self.handler.author();
        let token = |address: &str| author.return_path.as_ref()?.token_in(address).map(ToOwned::to_owned);
        dsn::reports(message, self.queue.now_ms(), token)
    }

    async fn record_all(&self, reports: &[Report]) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::Ignored;
        for report in reports {
            let recorded = match self.reports().record(report).await {
                Ok(recorded) => recorded,
                Err(Error::InFlight) => return Ok(Outcome::Left),
                Err(error) => return Err(error.into()),
            };
            metrics::counter!("mailer_suppressions_total").increment(recorded.suppressed);
            if recorded.held > 0 {
                report_held(report.source, recorded.held);
            }
            if let (Some(job_id), true) = (&recorded.job_id, recorded.is_new) {
                tracing::info!(job_id, source = report.source, kind = report.kind.as_str(), "Mail came back");
            }
            outcome = match (&recorded.job_id, recorded.is_new) {
                (Some(_), true) => Outcome::Recorded,
                (Some(_), false) if outcome != Outcome::Recorded => Outcome::Known,
                (None, _) if outcome == Outcome::Ignored => Outcome::Unknown,
                _ => outcome,
            };
        }
        Ok(outcome)
    }
}

/// Parses where bounces are: `maildir:DIR`.
///
/// # Errors
/// Returns an error if it is something else, or no such folder is there.
pub(crate) fn mailbox(text: &str) -> anyhow::Result<Maildir> {
    let folder = text.strip_prefix("maildir:").filter(|folder| !folder.is_empty());
    Maildir::open(Path::new(folder.context("--from must be like maildir:/var/mail/bounces")?))
}
