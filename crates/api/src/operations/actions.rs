//! Actions on exactly the mails that a query finds.

use std::time::Duration;

use examhall_core::{MailQuery, MailState, UserId, with_commas};
use examhall_delivery::{NewSuppression, SuppressionCause};
use examhall_queue::{Attempts, State as JobState};
use examhall_store::MailOutcome;
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    retry::retry_mail,
    search::{Bounds, search},
};
use crate::{
    access::Action,
    audit::{self, Done},
    http::problem::{FieldError, Problem},
    relay::row_of,
    routes::email_status::{EmailStatus, addresses},
    state::{State, now},
};

/// Most mails of one call.
pub(crate) const MOST: usize = 10_000;
/// How long a call looks for mails.
const SEARCH_TIME: Duration = Duration::from_secs(10);
/// Mails that leave their groups of failures together.
const TOGETHER: usize = 500;
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
        let (done, matched) = (with_commas(self.done), with_commas(self.matched));
        match self.matched.saturating_sub(self.done) {
            0 => format!("{done} of {matched}"),
            changed => format!("{done} of {matched}, {} had changed", with_commas(changed)),
        }
    }
}

/// An action, and who wants it.
#[derive(Clone, Copy)]
pub(crate) struct Order<'a> {
    pub(crate) action: MailAction,
    /// The query, as it was written.
    pub(crate) q: &'a str,
    pub(crate) by: UserId,
    /// How many mails the operator has seen: those that are missing have changed.
    pub(crate) expected: Option<u64>,
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

    /// How many of them may have been delivered.
    pub(crate) fn doubtful(&self) -> u64 {
        self.mails.iter().filter(|mail| mail.in_doubt).count() as u64
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

    /// Whether mails are sent again.
    pub(crate) const fn sends_again(self) -> bool {
        matches!(self, Self::Retry | Self::Release)
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

impl MailAction {
    /// Whether pages offer it for a mail. For one that is held or in doubt, retry and remove are called release and drop.
    pub(crate) fn is_offered(self, mail: &EmailStatus) -> bool {
        self.fits(mail) && !(matches!(self, Self::Retry | Self::Remove) && Self::Release.fits(mail))
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

/// Does it to each mail, and records that `by` did. A mail that has changed meanwhile, or is gone, is left as it is.
///
/// # Errors
/// Where Redis or the database is away, some may have been changed: that is recorded, too.
pub(crate) async fn act(state: &State, order: Order<'_>, chosen: &Chosen) -> Result<Acted, Problem> {
    let matched = chosen.count().max(order.expected.unwrap_or(0));
    let mut acted = Acted { matched, done: 0, has_more: chosen.has_more };
    let ended = act_on_all(state, order.action, &chosen.mails, &mut acted.done).await;
    if ended.is_ok() || acted.done > 0 {
        let done = Done { matched, filter: order.q.to_owned(), ..Done::all(acted.done) };
        audit::record_as(state, order.by, order.action.permission(), done).await;
        tracing::info!(action = order.action.as_str(), matched, done = acted.done, "Mails changed by an operator");
    }
    ended.map(|()| acted)
}

async fn act_on_all(state: &State, action: MailAction, mails: &[EmailStatus], done: &mut u64) -> Result<(), Problem> {
    for some in mails.chunks(TOGETHER) {
        if !matches!(action, MailAction::Promote | MailAction::Suppress) {
            // They are not failed mails any more. First: what fails again meanwhile is in its group again.
            let ids: Vec<String> = some.iter().map(|mail| mail.job_id.clone()).collect();
            state.operations.failures.forget(&ids).await?;
        }
        let changes = stream::iter(some).map(|mail| one(state, action, mail)).buffer_unordered(AT_ONCE);
        let results: Vec<Result<bool, Problem>> = changes.collect().await;
        *done += results.iter().filter(|result| matches!(result, Ok(true))).count() as u64;
        results.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

/// Returns whether the mail was changed.
async fn one(state: &State, action: MailAction, mail: &EmailStatus) -> Result<bool, Problem> {
    let id = &mail.job_id;
    match action {
        MailAction::Retry => was_done_to(retry_mail(state, id).await),
        MailAction::Release => was_done(state.queue.retry(id, Attempts::Reset).await),
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
    state.ledger.forget_doubt(id).await?;
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
        assert_eq!(sentence(10_000, 8_999), "8,999 of 10,000, 1,001 had changed");
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
