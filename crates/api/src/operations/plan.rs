//! Where mails of a query are looked for: pure decisions.

use examhall_core::{MailClass, MailQuery, MailState, WantedRecipient};
use examhall_delivery::Doubt;
use examhall_queue::{JobSearch, SearchTerm, State as JobState};
use examhall_store::{MailOutcome, MailPlace, MailSearch};

/// One place to look at.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The one mail that the query names.
    One,
    /// Rows of the outbox.
    Rows(MailSearch),
    /// The ledger's index of mails that are held or in doubt.
    Doubtful(Doubt),
    /// Jobs of one state.
    Jobs(JobState),
}

/// Returns the places of a query, in order.
pub(super) fn stages(query: &MailQuery) -> Vec<Stage> {
    if query.id.is_some() {
        return vec![Stage::One];
    }
    let mut stages = Vec::new();
    if query.message_id.is_some() {
        stages.push(Stage::One);
    } else {
        stages.extend(rows(query).map(Stage::Rows));
    }
    match query.state {
        Some(MailState::Held) => stages.push(Stage::Doubtful(Doubt::Held)),
        Some(MailState::InDoubt) => stages.extend(Doubt::ALL.map(Stage::Doubtful)),
        state => stages.extend(states(state).iter().copied().map(Stage::Jobs)),
    }
    stages.extend(lost(query).map(Stage::Rows));
    stages
}

/// Failed mails whose jobs Redis has lost. They come last: most rows of failed mails are passed over, since their jobs are there.
fn lost(query: &MailQuery) -> Option<MailSearch> {
    let is_found_before = query.message_id.is_some() || matches!(query.to, Some(WantedRecipient::Address(_)));
    let place = Some(MailPlace::Ended(MailOutcome::Failed));
    let search = MailSearch { to: None, class: query.class, place, after: query.after, before: query.before };
    (!is_found_before && matches!(query.state, None | Some(MailState::Failed))).then_some(search)
}

/// Rows are looked at by recipient, for which there is an index, or where no job is to be found.
fn rows(query: &MailQuery) -> Option<MailSearch> {
    let place = match query.state {
        Some(MailState::Outbox) => Some(MailPlace::Outbox),
        Some(MailState::Removed) => Some(MailPlace::Ended(MailOutcome::Removed)),
        _ => None,
    };
    let search = MailSearch { to: None, class: query.class, place, after: query.after, before: query.before };
    match (&query.to, query.state) {
        (Some(WantedRecipient::Address(address)), _) => Some(MailSearch { to: Some(address.clone()), ..search }),
        (_, Some(MailState::Outbox | MailState::Removed)) => Some(search),
        (_, None | Some(MailState::Waiting)) => Some(MailSearch { place: Some(MailPlace::Outbox), ..search }),
        _ => None,
    }
}

fn states(state: Option<MailState>) -> &'static [JobState] {
    match state {
        None => JobState::ALL,
        Some(MailState::Outbox | MailState::Removed | MailState::Held | MailState::InDoubt) => &[],
        Some(MailState::Waiting) => &[JobState::Waiting],
        Some(MailState::Prioritized) => &[JobState::Prioritized],
        Some(MailState::Delayed) => &[JobState::Delayed],
        Some(MailState::WaitingChildren) => &[JobState::WaitingChildren],
        Some(MailState::Active) => &[JobState::Active],
        Some(MailState::Completed | MailState::Bounced | MailState::Complained) => &[JobState::Completed],
        Some(MailState::Failed | MailState::Suppressed | MailState::Expired | MailState::Withheld) => {
            &[JobState::Failed]
        }
    }
}

/// Fields of a mail that lists show.
pub(super) const SHOWN: [&str; 6] = ["to", "cc", "bcc", "subject", "class", "messageId"];
const RECIPIENTS: [&str; 3] = ["to", "cc", "bcc"];

/// Returns what the queue is asked for. It may return more than is wanted.
pub(super) fn job_search(query: &MailQuery, state: JobState) -> JobSearch {
    let mut search = SHOWN.into_iter().fold(JobSearch::new(state), JobSearch::pick);
    if let Some(to) = &query.to {
        search = search.term(SearchTerm::fields(RECIPIENTS, [to.needle()]));
    }
    if let Some(id) = &query.message_id {
        search = search.term(SearchTerm::fields(["messageId"], [id]));
    }
    if let Some(subject) = &query.subject {
        search = search.term(SearchTerm::fields(["subject"], [subject]));
    }
    if let Some(class) = query.class {
        let term = SearchTerm::fields(["class"], [class.as_str()]).whole();
        search = search.term(if class == MailClass::Other { term.or_absent() } else { term });
    }
    if let Some(reason) = &query.reason {
        search = search.term(SearchTerm::reason(reason));
    }
    if let Some(text) = &query.text {
        search = search.term(SearchTerm::fields(["to", "cc", "bcc", "subject"], [text]).or_reason());
    }
    if let Some(after) = query.after {
        search = search.after(after.as_millis());
    }
    if let Some(before) = query.before {
        search = search.before(before.as_millis());
    }
    match query.state {
        Some(state @ (MailState::Suppressed | MailState::Withheld | MailState::Expired)) => {
            search.reason_starts_with(state.as_str())
        }
        _ => search,
    }
}

#[cfg(test)]
mod tests {
    use examhall_core::Timestamp;

    use super::*;

    fn places(text: &str) -> Vec<String> {
        let query = MailQuery::parse(text, Timestamp::from_millis(0)).expect("a query");
        let name = |stage: &Stage| match stage {
            Stage::One => "one".to_owned(),
            Stage::Rows(search) => format!("rows {}", if search.to.is_some() { "to" } else { "place" }),
            Stage::Doubtful(doubt) => format!("{doubt:?}"),
            Stage::Jobs(state) => state.to_string(),
        };
        stages(&query).iter().map(name).collect()
    }

    #[test]
    fn each_query_has_its_places() {
        let all = ["waiting", "prioritized", "delayed", "waiting-children", "active", "completed", "failed"];
        let after = |first: &'static str| [&[first][..], &all].concat();
        let around = |first: &'static str| [&[first][..], &all, &["rows place"]].concat();
        assert_eq!(places("id:7 state:failed"), ["one"]);
        assert_eq!(places("msgid:<x@y>"), after("one"));
        assert_eq!(places(""), around("rows place"));
        assert_eq!(places("ada@example.com"), after("rows to"));
        assert_eq!(places("to:ada"), around("rows place"));
        assert_eq!(places("to:ada@example.com state:suppressed"), ["rows to", "failed"]);
        assert_eq!(places("state:failed reason:x"), ["failed", "rows place"]);
        assert_eq!(places("state:held reason:x"), ["Held"]);
        assert_eq!(places("state:inDoubt"), ["Held", "InDoubt"]);
        assert_eq!(places("state:inDoubt to:ada@example.com"), ["rows to", "Held", "InDoubt"]);
        assert_eq!(places("state:waiting-children"), ["waiting-children"]);
        assert_eq!(places("state:bounced"), ["completed"]);
        assert_eq!(places("state:outbox"), ["rows place"]);
        assert_eq!(places("state:removed class:reset"), ["rows place"]);
        assert_eq!(places("state:waiting"), ["rows place", "waiting"]);
    }
}
