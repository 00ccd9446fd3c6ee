//! Finds mails by their recipient, in the queue alone.

use anyhow::Context;
use examhall_core::{Recipients, WantedRecipient};
use examhall_queue::{JobRecord, JobSearch, JobSummary, Queue, SearchTerm, State};

use crate::payload::Payload;

const FIELDS: [&str; 3] = ["to", "cc", "bcc"];

/// Finds mails to an address, or to those that contain a text, in one state or in all; `page` is how many to skip and how many to
/// return. Mails over 32 KiB are not looked into; says how many, if there are.
pub(super) async fn to(
    queue: &Queue<Payload>,
    to: &str,
    state: Option<State>,
    (skip, limit): (u32, u32),
) -> anyhow::Result<Vec<JobRecord>> {
    let wanted = WantedRecipient::of(to);
    let wanted_count = (skip as usize).saturating_add(limit as usize);
    let (mut ids, mut unread) = (Vec::new(), 0);
    for state in State::ALL.iter().filter(|one| state.is_none_or(|state| state == **one)) {
        let term = SearchTerm::fields(FIELDS, [wanted.needle()]);
        let search = FIELDS.into_iter().fold(JobSearch::new(*state).term(term), JobSearch::pick);
        let mut from = None;
        while ids.len() < wanted_count {
            let found = queue.search(&search, from.as_ref(), limit.max(1)).await?;
            unread += found.unread;
            ids.extend(found.jobs.into_iter().filter(|job| is_to(job, &wanted)).map(|job| job.id));
            from = found.next;
            if from.is_none() {
                break;
            }
        }
    }
    #[expect(clippy::print_stderr, reason = "for those at the terminal")]
    if unread > 0 {
        eprintln!("{unread} mails over 32 KiB were not looked into");
    }
    let mut jobs = Vec::new();
    for id in ids.iter().skip(skip as usize).take(limit as usize) {
        jobs.extend(queue.get(id).await.with_context(|| format!("job {id}"))?);
    }
    Ok(jobs)
}

fn is_to(job: &JobSummary, wanted: &WantedRecipient) -> bool {
    let Some(fields) = &job.picked else { return false };
    let all = FIELDS.iter().filter_map(|name| fields.get(*name));
    all.filter_map(|value| serde_json::from_value::<Recipients>(value.clone()).ok())
        .any(|Recipients(each)| each.iter().any(|one| wanted.is_met_by(one)))
}
