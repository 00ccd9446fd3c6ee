//! Actions on exactly the mails that a query finds.

use std::time::Duration;

use examhall_core::{MailQuery, MailState};
use examhall_delivery::{NewSuppression, SuppressionCause};
use examhall_queue::{Attempts, State as JobState};
use examhall_store::MailOutcome;
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::search::{Bounds, search};
use crate::{
    access::Action,
    http::problem::{FieldError, Problem},
    relay::row_of,
    routes::email_status::{EmailStatus, addresses},
    state::{State, now},
};

/// Most mails of one call.
pub(crate) const MOST: usize = 10_000;
/// How long a call looks for mails.
const SEARCH_TIME: Duration = Duration::from_secs(10);
/// Mails changed at a time.
const AT_ONCE: usize = 16;

/// What is done to mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum MailAction {
    /// Tries failed mails again.
    Retry,
    /// Sends delayed mails now.
    Promote,
    /// Removes mails that are not being sent.
    Remove,
    /// Sends mails again that are held or in doubt.
    Release,
    /// Removes mails that are held or in doubt.
    Drop,
    /// Suppresses the recipients.
    Suppress,
}

/// What came of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acted {
    /// Number of mails that were to be changed.
    pub(crate) matched: u64,
    /// Number that were.
    pub(crate) done: u64,
    /// Whether more mails match than one call changes.
    pub(crate) has_more: bool,
}

impl Acted {
    /// In words: "97 of 100, 3 had changed".
    pub(crate) fn sentence(self) -> String {
        match self.matched.saturating_sub(self.done) {
            0 => format!("{} of {}", self.done, self.matched),
            changed => format!("{} of {}, {changed} had changed", self.done, self.matched),
        }
    }
}

/// Mails that an action is for.
pub(crate) struct Chosen {
    mails: Vec<EmailStatus>,
    pub(crate) has_more: bool,
}

impl Chosen {
    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.mails.len() as u64
    }
}

impl MailAction {
    pub(crate) const ALL: [Self; 6] =
        [Self::Retry, Self::Promote, Self::Remove, Self::Release, Self::Drop, Self::Suppress];

    /// What one must be allowed to do.
    pub(crate) const fn permission(self) -> Action {
        match self {
            Self::Retry => Action::RetryMails,
            Self::Promote => Action::PromoteMails,
            Self::Remove => Action::RemoveMails,
            Self::Release => Action::ReleaseMails,
            Self::Drop => Action::DropMails,
            Self::Suppress => Action::SuppressAddresses,
        }
    }

    /// Its name on pages.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::Promote => "Send now",
            Self::Remove => "Remove",
            Self::Release => "Release",
            Self::Drop => "Drop",
            Self::Suppress => "Suppress recipients",
        }
    }

    /// Whether nothing takes it back.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Remove | Self::Drop)
    }

    /// The word in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Promote => "promote",
            Self::Remove => "remove",
            Self::Release => "release",
            Self::Drop => "drop",
            Self::Suppress => "suppress",
        }
    }

    /// Whether it can be done to a mail.
    pub(crate) fn fits(self, mail: &EmailStatus) -> bool {
        let is_doubtful = mail.in_doubt || mail.outcome == Some(MailState::Held.as_str());
        match self {
            Self::Retry => mail.state == JobState::Failed && mail.outcome != Some(MailState::Removed.as_str()),
            Self::Promote => mail.state == JobState::Delayed,
            Self::Remove => {
                !matches!(mail.state, JobState::Active | JobState::Completed)
                    && mail.outcome != Some(MailState::Removed.as_str())
            }
            Self::Release | Self::Drop => mail.state == JobState::Failed && is_doubtful,
            Self::Suppress => !mail.to.is_empty(),
        }
    }
}

/// Narrows a query to mails that an action can be done to, so that others need not be looked at.
///
/// # Errors
/// Returns a problem with status 422 if it is for all mails, or for none that the action fits.
pub(crate) fn narrowed(query: &MailQuery, action: MailAction) -> Result<MailQuery, Problem> {
    let refused =
        |detail: &str| Problem::invalid(vec![FieldError { pointer: "/q".to_owned(), detail: detail.to_owned() }]);
    if query.is_empty() {
        return Err(refused("must not be empty: name the mails, such as state:failed"));
    }
    let usual = match action {
        MailAction::Retry => Some(MailState::Failed),
        MailAction::Promote => Some(MailState::Delayed),
        MailAction::Release | MailAction::Drop => Some(MailState::InDoubt),
        MailAction::Remove | MailAction::Suppress => None,
    };
    Ok(MailQuery { state: query.state.or(usual), ..query.clone() })
}

/// Finds the mails of an action, up to [`MOST`]; those that ended after `until`, ms since 1970, are left out.
pub(crate) async fn choose(
    state: &State,
    query: &MailQuery,
    action: MailAction,
    until: i64,
) -> Result<Chosen, Problem> {
    let query = narrowed(query, action)?;
    let bounds = Bounds { mails: MOST, time: SEARCH_TIME, until: Some(until) };
    let found = search(state, &query, None, bounds).await?;
    let has_more = found.next.is_some();
    let mails = found.items.into_iter().filter(|mail| action.fits(mail)).collect();
    Ok(Chosen { mails, has_more })
}

/// Does it to each mail. One that has changed meanwhile, or is gone, is left as it is. `expected` is how many the operator
/// has seen.
pub(crate) async fn act(
    state: &State,
    action: MailAction,
    chosen: Chosen,
    expected: Option<u64>,
) -> Result<Acted, Problem> {
    let matched = chosen.count().max(expected.unwrap_or(0));
    let mut done = 0;
    let each =
        stream::iter(&chosen.mails).map(async |mail| one(state, action, mail).await.map(|was_done| (mail, was_done)));
    let mut results = each.buffer_unordered(AT_ONCE);
    let mut ids = Vec::new();
    while let Some(result) = results.next().await {
        let (mail, was_done) = result?;
        done += u64::from(was_done);
        ids.extend(was_done.then(|| mail.job_id.clone()));
    }
    if !matches!(action, MailAction::Promote | MailAction::Suppress) {
        state.operations.failures.forget(&ids).await?; // they are not failed mails any more
    }
    Ok(Acted { matched, done, has_more: chosen.has_more })
}

/// Returns whether the mail was changed.
async fn one(state: &State, action: MailAction, mail: &EmailStatus) -> Result<bool, Problem> {
    let id = &mail.job_id;
    match action {
        MailAction::Retry | MailAction::Release => was_done(state.queue.retry(id, Attempts::Reset).await),
        MailAction::Promote => was_done(state.queue.promote(id).await),
        MailAction::Remove | MailAction::Drop => was_done_to(remove(state, id).await),
        MailAction::Suppress => suppress(state, mail).await,
    }
}

fn was_done(result: Result<(), examhall_queue::Error>) -> Result<bool, Problem> {
    was_done_to(result.map_err(Problem::from))
}

/// A conflict, and what is gone, are mails that have changed.
fn was_done_to(result: Result<(), Problem>) -> Result<bool, Problem> {
    match result {
        Ok(()) => Ok(true),
        Err(problem) if problem.is_about_state() => Ok(false),
        Err(problem) => Err(problem),
    }
}

async fn suppress(state: &State, mail: &EmailStatus) -> Result<bool, Problem> {
    let addresses = addresses(&mail.to);
    let job_id = mail.job_id.as_str();
    for address in &addresses {
        let new =
            NewSuppression { address, reason: "by an operator", cause: SuppressionCause::Operator, source: "", job_id };
        state.suppressions.add(new).await?;
    }
    Ok(!addresses.is_empty())
}

/// Removes a mail from outbox and queue.
///
/// # Errors
/// Returns a problem with status 404 if there is none, or 409 if it is being sent.
pub(crate) async fn remove(state: &State, id: &str) -> Result<(), Problem> {
    // Its row first: if this process dies in between, the mail is not taken for lost and queued again.
    let row = row_of(id);
    let is_closed = match row {
        Some(row) => state.store.outbox.close(&[row], MailOutcome::Removed, now()).await? > 0,
        None => false,
    };
    match state.queue.remove(id).await {
        Ok(()) => {}
        // It was in the outbox alone.
        Err(examhall_queue::Error::NotFound(_)) if is_closed => {}
        Err(error) => {
            if let Some(row) = row.filter(|_| is_closed) {
                state.store.outbox.undo_removal(row).await?; // a mailer has it
            }
            return Err(error.into());
        }
    }
    if row.is_some() {
        // Else a relay that has claimed it would queue it, and a reconciler would take it for lost.
        state.ledger.put_removed(id, now().as_millis()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use examhall_core::Timestamp;

    use super::*;

    #[test]
    fn the_sentence_names_what_had_changed() {
        let sentence = |matched, done| Acted { matched, done, has_more: false }.sentence();
        assert_eq!(sentence(100, 97), "97 of 100, 3 had changed");
        assert_eq!(sentence(100, 100), "100 of 100");
        assert_eq!(sentence(0, 0), "0 of 0");
    }

    #[test]
    fn an_action_needs_a_query() {
        let parse = |text: &str| MailQuery::parse(text, Timestamp::from_millis(0)).expect("a query");
        for action in MailAction::ALL {
            assert!(narrowed(&parse(""), action).is_err());
            assert!(narrowed(&parse("state:failed"), action).is_ok());
        }
        let state = |text: &str, action| narrowed(&parse(text), action).expect("a query").state;
        assert_eq!(state("reason:x", MailAction::Retry), Some(MailState::Failed));
        assert_eq!(state("reason:x", MailAction::Remove), None);
        assert_eq!(state("state:held", MailAction::Retry), Some(MailState::Held));
        assert_eq!(state("to:ada", MailAction::Drop), Some(MailState::InDoubt));
    }
}
