//! Finds mails in outbox, queue and ledger, a page at a time. No body is read.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_core::{EmailJob, MailQuery, WantedRecipient};
use examhall_delivery::{Doubt, JobName, LedgerEntry, MessageNames};
use examhall_queue::{JobSummary, SearchPosition, State as JobState};
use examhall_store::{MailRow, MailSearch, Page};
use futures_util::future::try_join_all;
use uuid::Uuid;

use super::plan::{SHOWN, Stage, job_search, stages};
use crate::{
    http::{list::bad_cursor, problem::Problem},
    relay::{job_of, row_of},
    routes::email_status::EmailStatus,
    state::State,
};

/// How long a page is looked for. Then it is returned as far as it was found, and the next one goes on.
pub(crate) const PAGE_TIME: Duration = Duration::from_millis(12);
/// Number of jobs that are looked at in any case, however slow the servers are: all of a small queue.
const LEAST: u64 = 500;
/// Rows that are read together: of those of failed mails few are shown.
const ROWS: usize = 100;
/// Most mails that are read together of those that are held or in doubt.
const DOUBTFUL: u32 = 100;

/// A part of what a query finds.
#[derive(Default)]
pub(crate) struct FoundMails {
    /// The mails.
    pub(crate) items: Vec<EmailStatus>,
    /// Where the next page begins, unless this is the last. A page may be empty, and not be the last one.
    pub(crate) next: Option<Cursor>,
    /// Number of jobs that were looked at.
    pub(crate) looked_at: u64,
    /// Number of jobs that could not be looked into: their mails are large.
    pub(crate) unread: u64,
}

/// How much is looked for at once.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Most mails.
    pub(crate) mails: usize,
    /// Time after which it is enough.
    pub(crate) time: Duration,
    /// Only mails that ended until then, or were added until then if they have not ended; ms since 1970.
    pub(crate) until: Option<i64>,
}

impl Bounds {
    /// Bounds of a page.
    pub(crate) fn page(mails: usize) -> Self {
        Self { mails, time: PAGE_TIME, until: None }
    }
}

/// A place in what a query finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    stage: usize,
    row: Option<Uuid>,
    position: Option<SearchPosition>,
    skip: Option<u32>,
}

impl Cursor {
    /// Reads a cursor that [`to_text`](Self::to_text) has written.
    ///
    /// # Errors
    /// Returns a problem with status 400 if it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        Self::read(text).ok_or_else(bad_cursor)
    }

    fn read(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (stage, rest) = text.split_once(' ')?;
        let cursor = Self { stage: stage.parse().ok()?, ..Self::default() };
        match rest.split_once(' ')? {
            ("row", row) => Some(Self { row: Some(row.parse().ok()?), ..cursor }),
            ("doubt", skip) => Some(Self { skip: Some(skip.parse().ok()?), ..cursor }),
            ("job", position) => Some(Self { position: Some(position.parse().ok()?), ..cursor }),
            ("all", "") => Some(cursor),
            _ => None,
        }
    }

    /// Writes it as text without meaning for clients.
    pub(crate) fn to_text(&self) -> String {
        let text = match (&self.row, &self.position, self.skip) {
            (Some(row), ..) => format!("{} row {row}", self.stage),
            (None, Some(position), _) => format!("{} job {position}", self.stage),
            (None, None, Some(skip)) => format!("{} doubt {skip}", self.stage),
            (None, None, None) => format!("{} all ", self.stage),
        };
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }

    fn at(stage: usize) -> Self {
        Self { stage, ..Self::default() }
    }
}

/// Finds mails: those in the outbox first, then those of each state, newest first.
pub(crate) async fn search(
    state: &State,
    query: &MailQuery,
    from: Option<Cursor>,
    bounds: Bounds,
) -> Result<FoundMails, Problem> {
    let started = Instant::now();
    let stages = stages(query);
    let mut at = from.unwrap_or_default();
    let mut found = FoundMails::default();
    while let Some(stage) = stages.get(at.stage) {
        let missing = bounds.mails.saturating_sub(found.items.len());
        if missing == 0 || (started.elapsed() >= bounds.time && found.looked_at >= LEAST) {
            found.next = Some(at);
            break;
        }
        let after = Cursor::at(at.stage + 1);
        let bounds = Bounds { mails: missing, ..bounds };
        at = match stage {
            Stage::One => {
                found.items.extend(one(state, query).await?.filter(|mail| mail.meets(query)));
                if found.items.is_empty() { after } else { break }
            }
            Stage::Rows(rows) => {
                let next = of_rows(state, query, (rows, at.row), bounds, &mut found).await?;
                next.map_or(after, |row| Cursor { row: Some(row), ..Cursor::at(at.stage) })
            }
            Stage::Doubtful(doubt) => {
                let skip = at.skip.unwrap_or_default();
                let next = of_doubtful(state, query, (*doubt, skip), bounds, &mut found).await?;
                next.map_or(after, |skip| Cursor { skip: Some(skip), ..Cursor::at(at.stage) })
            }
            Stage::Jobs(of) => {
                let next = of_jobs(state, query, (*of, at.position.as_ref()), bounds, &mut found).await?;
                next.map_or(after, |position| Cursor { position: Some(position), ..Cursor::at(at.stage) })
            }
        };
    }
    Ok(found)
}

/// Finds the mail of a job, whether its job is there or not.
pub(crate) async fn find(state: &State, id: &str) -> Result<Option<EmailStatus>, Problem> {
    let jobs = state.queue.summaries(&[id.to_owned()], &SHOWN).await;
    if let Ok([job]) = jobs.as_deref() {
        let mut mails = with_details(state, vec![job.clone()]).await?;
        return Ok(mails.pop());
    }
    // Not queued yet, or gone from the queue: the outbox may know it.
    let row = match row_of(id) {
        Some(row) => state.store.outbox.rows(&[row]).await?.pop(),
        None => None,
    };
    let entry = state.ledger.get(id).await;
    match (row, entry) {
        // The outbox answers while Redis is away.
        (Some(row), entry) => Ok(Some(EmailStatus::of_row(id, &row).with_entry(entry.unwrap_or_default().as_ref()))),
        (None, Ok(Some(entry))) => {
            jobs?;
            Ok(Some(EmailStatus::of_entry(id, &entry).with_entry(Some(&entry))))
        }
        (None, entry) => {
            jobs?;
            entry?;
            Ok(None)
        }
    }
}

/// Finds the mail that a query names by its job or its `Message-ID`.
async fn one(state: &State, query: &MailQuery) -> Result<Option<EmailStatus>, Problem> {
    if let Some(id) = &query.id {
        return find(state, id).await;
    }
    let Some(message_id) = &query.message_id else { return Ok(None) };
    let in_it = JobName::of(message_id).map(|job| job.id.to_owned());
    let names = MessageNames::new(state.queue.connection().clone(), EmailJob::NAMES_PREFIX, EmailJob::KEEP_LEDGER);
    let id = match in_it {
        Some(id) => Some(id),
        None => names.get(message_id).await?,
    };
    let Some(id) = id else { return Ok(None) };
    Ok(find(state, &id).await?.map(|mail| mail.named(message_id)))
}

/// Adds mails whose rows are so, and returns after which those follow that are left.
async fn of_rows(
    state: &State,
    query: &MailQuery,
    (search, after): (&MailSearch, Option<Uuid>),
    bounds: Bounds,
    found: &mut FoundMails,
) -> Result<Option<Uuid>, Problem> {
    let page = Page { limit: bounds.mails.max(ROWS) as u64, after };
    let mut listed = state.store.outbox.search(search, page).await?;
    found.looked_at += listed.items.len() as u64;
    let is_old =
        |row: &MailRow| bounds.until.is_none_or(|until| row.outcome_at.unwrap_or(row.created_at).as_millis() <= until);
    listed.items.retain(is_old);
    let ids: Vec<String> = listed.items.iter().map(|row| job_of(row.id)).collect();
    let jobs = state.queue.summaries(&ids, &SHOWN).await?;
    let entries = entries(state, &ids).await?;
    let mut mails = Vec::new();
    for ((row, id), entry) in listed.items.iter().zip(&ids).zip(&entries) {
        let job = jobs.iter().find(|job| job.id == *id);
        // A job is found in its state, unless the search was for its recipient.
        if job.is_some() && search.to.is_none() {
            continue;
        }
        let mail = job.map_or_else(|| EmailStatus::of_row(id, row), |job| EmailStatus::of_job(job).with_row(row));
        mails.push((row.id, mail.with_entry(entry.as_ref())));
    }
    mails.retain(|(_, mail)| mail.meets(query));
    let is_cut = mails.len() > bounds.mails;
    mails.truncate(bounds.mails);
    let last = mails.last().map(|(row, _)| *row);
    found.items.extend(mails.into_iter().map(|(_, mail)| mail));
    Ok(if is_cut { last } else { listed.next })
}

/// Adds mails whose jobs are of one state, and returns where those that follow begin.
async fn of_jobs(
    state: &State,
    query: &MailQuery,
    (of, from): (JobState, Option<&SearchPosition>),
    bounds: Bounds,
    found: &mut FoundMails,
) -> Result<Option<SearchPosition>, Problem> {
    let mut search = job_search(query, of);
    if let Some(until) = bounds.until {
        search = search.until(until);
    }
    let mut step = state.queue.search(&search, from, u32::try_from(bounds.mails).unwrap_or(u32::MAX)).await?;
    found.looked_at += u64::from(step.looked_at);
    found.unread += u64::from(step.unread);
    if matches!(query.to, Some(WantedRecipient::Address(_))) {
        step.jobs.retain(|job| row_of(&job.id).is_none()); // found by their rows
    }
    let mails = with_details(state, step.jobs).await?;
    found.items.extend(mails.into_iter().filter(|mail| mail.meets(query)));
    Ok(step.next)
}

/// Adds mails that are held or in doubt, and returns how many to skip for those that follow.
async fn of_doubtful(
    state: &State,
    query: &MailQuery,
    (doubt, skip): (Doubt, u32),
    bounds: Bounds,
    found: &mut FoundMails,
) -> Result<Option<u32>, Problem> {
    let count = u32::try_from(bounds.mails).unwrap_or(u32::MAX).min(DOUBTFUL);
    let listed = state.ledger.doubtful(doubt, skip, count).await?;
    let next = skip.saturating_add(u32::try_from(listed.len()).unwrap_or(u32::MAX));
    let has_more = u64::from(next) < state.ledger.count_doubtful(doubt).await?;
    let ids: Vec<String> = listed.into_iter().map(|(id, _)| id).collect();
    let mut jobs = state.queue.summaries(&ids, &SHOWN).await?;
    jobs.retain(|job| bounds.until.is_none_or(|until| job.finished_on.unwrap_or(job.timestamp) <= until));
    if matches!(query.to, Some(WantedRecipient::Address(_))) {
        jobs.retain(|job| row_of(&job.id).is_none()); // found by their rows
    }
    found.looked_at += ids.len() as u64;
    if query.subject.is_some() || query.text.is_some() {
        found.unread += jobs.iter().filter(|job| job.picked.is_none()).count() as u64;
    }
    let mails = with_details(state, jobs).await?;
    found.items.extend(mails.into_iter().filter(|mail| mail.meets(query)));
    Ok(has_more.then_some(next))
}

/// Adds what outbox and ledger know of jobs.
async fn with_details(state: &State, jobs: Vec<JobSummary>) -> Result<Vec<EmailStatus>, Problem> {
    let ids: Vec<String> = jobs.iter().map(|job| job.id.clone()).collect();
    let large: Vec<Uuid> = jobs.iter().filter(|job| job.picked.is_none()).filter_map(|job| row_of(&job.id)).collect();
    let rows: Vec<MailRow> = state.store.outbox.rows(&large).await?;
    let entries = entries(state, &ids).await?;
    let mails = jobs.iter().zip(entries).map(|(job, entry)| {
        let entry = entry.filter(|entry| entry.job_timestamp.is_none_or(|then| then == job.timestamp));
        let mail = EmailStatus::of_job(job);
        let row = rows.iter().find(|row| row_of(&job.id) == Some(row.id));
        row.map_or(mail.clone(), |row| mail.with_row(row)).with_entry(entry.as_ref())
    });
    Ok(mails.collect())
}

async fn entries(state: &State, ids: &[String]) -> Result<Vec<Option<LedgerEntry>>, Problem> {
    Ok(try_join_all(ids.iter().map(|id| state.ledger.get(id))).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let row = Some(Uuid::from_u128(7));
        let position = Some("failed 17 3".parse().expect("a position"));
        let doubt = Cursor { skip: Some(50), ..Cursor::at(1) };
        for cursor in [Cursor::at(2), doubt, Cursor { row, ..Cursor::default() }, Cursor { position, ..Cursor::at(7) }]
        {
            assert_eq!(Cursor::read(&cursor.to_text()), Some(cursor));
        }
        for bad in ["", "x", "MSBhbGw", "MSByb3cgeA"] {
            assert_eq!(Cursor::read(bad), None, "{bad}");
        }
    }
}
