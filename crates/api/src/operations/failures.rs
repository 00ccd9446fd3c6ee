//! Groups of failed mails, and what is done to a whole group.

use examhall_core::UserId;
use examhall_delivery::FailureGroup;
use examhall_queue::State as JobState;
use futures_util::{StreamExt, stream};

use super::{actions, retry::retry_mail};
use crate::{
    access::Action,
    audit::{self, Done},
    http::problem::Problem,
    state::State,
};

/// Jobs that are looked at or changed together.
const PAGE: u32 = 500;
/// Changes at once.
const AT_ONCE: usize = 20;

/// What is done to each mail of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupAction {
    /// Try it again.
    Retry,
    /// Remove it.
    Remove,
}

impl GroupAction {
    const fn audited(self) -> Action {
        match self {
            Self::Retry => Action::RetryMails,
            Self::Remove => Action::RemoveMails,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupResult {
    /// Mails that were in the group.
    pub(crate) matched: u64,
    /// Mails that were changed; the others had changed before.
    pub(crate) affected: u64,
}

/// Up to `count` groups after the first `skip`, the one that was met last first; and whether there are more.
///
/// # Errors
/// Where Redis is away.
pub(crate) async fn groups(state: &State, skip: u32, count: u32) -> Result<(Vec<FailureGroup>, bool), Problem> {
    let mut groups = state.operations.failures.groups(skip, count.saturating_add(1)).await?;
    let has_more = groups.len() > count as usize;
    groups.truncate(count as usize);
    Ok((groups, has_more))
}

/// One group.
///
/// # Errors
/// 404 where there is none of this id.
pub(crate) async fn group(state: &State, id: &str) -> Result<FailureGroup, Problem> {
    state.operations.failures.group(id).await?.ok_or_else(Problem::not_found)
}

/// Does `action` to the mails that are in the group now, and records that `by` did it. A mail that failed in another way since
/// then is left alone.
///
/// # Errors
/// 404 where there is no such group; where Redis or the database is away, some may have been changed.
pub(crate) async fn act(state: &State, id: &str, action: GroupAction, by: UserId) -> Result<GroupResult, Problem> {
    group(state, id).await?;
    let mut result = GroupResult::default();
    let ended = act_on_all(state, id, action, &mut result).await;
    if ended.is_ok() || result.affected > 0 {
        // Also what was done before an error.
        let done = Done { filter: format!("failure:{id}"), matched: result.matched, ..Done::all(result.affected) };
        audit::record_as(state, by, action.audited(), done).await;
    }
    ended.map(|()| result)
}

async fn act_on_all(state: &State, id: &str, action: GroupAction, result: &mut GroupResult) -> Result<(), Problem> {
    let mut jobs = Vec::new();
    loop {
        let skip = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        let page = state.operations.failures.jobs(id, skip, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        jobs.extend(page);
        if is_last {
            break;
        }
    }
    result.matched = jobs.len() as u64;
    for some in jobs.chunks(PAGE as usize) {
        // First: what fails again meanwhile is in its group again.
        state.operations.failures.forget(some).await?;
        let states = state.queue.states(some).await?;
        let failed = some.iter().zip(states).filter(|(_, state)| *state == Some(JobState::Failed));
        let failed: Vec<_> = failed.map(|(job, _)| job.clone()).collect();
        let changes = stream::iter(failed).map(|job| change(state, job, action)).buffer_unordered(AT_ONCE);
        let results: Vec<Result<bool, Problem>> = changes.collect().await;
        result.affected += results.iter().filter(|result| matches!(result, Ok(true))).count() as u64;
        results.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

/// Takes mails out of their groups that are not failed any more.
///
/// # Errors
/// Where Redis is away.
pub(crate) async fn refresh(state: &State) -> Result<(), Problem> {
    let gone = |jobs: Vec<String>| async {
        let states = state.queue.states(&jobs).await?;
        let gone = jobs.into_iter().zip(states).filter(|(_, state)| *state != Some(JobState::Failed));
        Ok::<_, Problem>(gone.map(|(job, _)| job).collect())
    };
    state.operations.failures.refresh(gone).await
}

/// Changes a mail; returns whether it was still failed.
async fn change(state: &State, job: String, action: GroupAction) -> Result<bool, Problem> {
    let changed = match action {
        GroupAction::Retry => retry_mail(state, &job).await,
        GroupAction::Remove => actions::remove(state, &job).await,
    };
    match changed {
        Ok(()) => Ok(true),
        Err(problem) if problem.is_about_state() => Ok(false),
        Err(problem) => Err(problem),
    }
}
