//! `/emails`: finds mails, what happened to one of them, and changes exactly those that were found.

use actix_web::web;
use examhall_core::{MailQuery, Timestamp, WantedRecipient};
use examhall_queue::State as JobState;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    email_status::{EmailStatus, JobStateWord},
    suppressions::SuppressionView,
};
use crate::{
    access::{Allowed, may},
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::{Id, Parameters},
        list::Limit,
        problem::{FieldError, Problem},
    },
    openapi::{Operation, get, post},
    operations::{
        actions::{self, Acted, MailAction, Order},
        search::{self, Bounds, Cursor},
        timeline::{self, MailEvent},
    },
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/emails", "listEmails", "Search mails", all),
        post("/emails/actions", "changeEmails", "Change exactly the mails that a query finds", act),
        get("/emails/{id}/timeline", "readEmailTimeline", "See what happened to a mail", read_timeline),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Listing {
    /// Mails of this state only.
    #[schemars(with = "Option<JobStateWord>")]
    state: Option<String>,
    /// Mails that fulfil each term: `to:ada@example.com state:failed reason:"no such user"`. Keys are `to`, `id`, `msgid`,
    /// `subject`, `class`, `reason`, `state`, `before` and `after`; words without a key are looked for in recipient, subject
    /// and reason.
    #[schemars(length(max = MailQuery::MAX))]
    q: Option<String>,
    /// Highest number of items.
    limit: Option<Limit>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// A page of mails.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Emails")]
struct Emails {
    items: Vec<EmailStatus>,
    /// `cursor` of the next page; `null` on the last one. A page may have fewer items than were asked for, or none: what is
    /// looked for at once is limited.
    next_cursor: Option<String>,
    /// Number of mails that were looked at.
    looked_at: u64,
    /// Number of mails that could not be looked into for recipient, subject or class, since they have over 32 KiB.
    unread: u64,
    /// Why the address of `to:` is suppressed, if it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<SuppressionView>,
}

/// Mails that a query finds, or of one state, or all: those in the outbox, then those of each state, newest first.
async fn all(
    state: web::Data<State>,
    _: Allowed<may::ReadMails>,
    Parameters(listing): Parameters<Listing>,
) -> Result<web::Json<Emails>, Problem> {
    let Limit(limit) = listing.limit.unwrap_or_default();
    let mut query = parse(listing.q.as_deref().unwrap_or_default(), now())?;
    if let Some(word) = &listing.state {
        let of_job = JobState::ALL.iter().any(|state| state.as_str() == word);
        let named = word.parse().ok().filter(|_| of_job).ok_or_else(|| {
            let words: Vec<_> = JobState::ALL.iter().map(|state| state.as_str()).collect();
            invalid("/state", format!("must be one of {}", words.join(", ")))
        })?;
        if query.state.replace(named).is_some_and(|state| state != named) {
            return Err(invalid("/state", "`q` names another state".to_owned()));
        }
    }
    let cursor = listing.cursor.as_deref().map(Cursor::parse).transpose()?;
    let is_first = cursor.is_none();
    let found = search::search(&state, &query, cursor, Bounds::page(limit as usize)).await?;
    let suppressed = match &query.to {
        Some(WantedRecipient::Address(address)) if is_first => state.suppressions.get(address).await?,
        _ => None,
    };
    Ok(web::Json(Emails {
        items: found.items,
        next_cursor: found.next.map(|next| next.to_text()),
        looked_at: found.looked_at,
        unread: found.unread,
        suppressions: suppressed.into_iter().map(SuppressionView::from).collect(),
    }))
}

/// Parses a query; ages in it are those at `at`.
fn parse(text: &str, at: Timestamp) -> Result<MailQuery, Problem> {
    MailQuery::parse(text, at).map_err(|error| invalid("/q", error.to_string()))
}

fn invalid(pointer: &str, detail: String) -> Problem {
    Problem::invalid(vec![FieldError { pointer: pointer.to_owned(), detail }])
}

/// What happened to a mail.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EmailTimeline")]
struct Timeline {
    email: EmailStatus,
    /// In the order in which they happened.
    events: Vec<MailEvent>,
    /// Entries of its recipients in the suppression list.
    suppressions: Vec<SuppressionView>,
}

async fn read_timeline(
    state: web::Data<State>,
    _: Allowed<may::ReadMails>,
    Id(id): Id<String>,
) -> Result<web::Json<Timeline>, Problem> {
    let history = timeline::read(&state, &id).await?.ok_or_else(Problem::not_found)?;
    let suppressions = history.suppressions.into_iter().map(SuppressionView::from).collect();
    Ok(web::Json(Timeline { email: history.email, events: history.events, suppressions }))
}

/// What to do, and to which mails.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewEmailAction")]
struct Acting {
    #[garde(skip)]
    action: MailAction,
    /// The mails, in the words of a search; not empty.
    #[garde(length(chars, min = 1, max = MailQuery::MAX))]
    #[schemars(length(min = 1, max = MailQuery::MAX))]
    q: String,
    /// Whether only to count the mails.
    #[garde(skip)]
    dry_run: Option<bool>,
    /// `asOf` of a dry run: mails that came later are left alone.
    #[garde(skip)]
    as_of: Option<Timestamp>,
    /// `matched` of a dry run: what is missing has changed since.
    #[garde(skip)]
    expected: Option<u64>,
}

/// What came of it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EmailAction")]
struct ActedView {
    action: MailAction,
    q: String,
    dry_run: bool,
    /// Number of mails that were to be changed.
    matched: u64,
    /// Number that were.
    done: u64,
    /// Number that had changed meanwhile, and were left alone.
    changed: u64,
    /// In words: "97 of 100, 3 had changed".
    summary: String,
    as_of: Timestamp,
    /// Whether more mails match than are changed at once: ask again.
    more: bool,
}

async fn act(
    state: web::Data<State>,
    Authorized(by, JsonBody(body)): Authorized<Allowed<may::RetryMails>, JsonBody<Acting>>,
) -> Result<web::Json<ActedView>, Problem> {
    body.action.permission().check(by.viewer)?;
    let as_of = body.as_of.unwrap_or_else(|| Timestamp::from_millis(state.queue.now_ms()));
    let query = parse(&body.q, as_of)?; // an age is that of the dry run
    let chosen = actions::choose(&state, &query, body.action, as_of.as_millis()).await?;
    let dry_run = body.dry_run.unwrap_or(false);
    let acted = if dry_run {
        Acted { matched: chosen.count(), done: 0, has_more: chosen.has_more }
    } else {
        let order = Order { action: body.action, q: &body.q, by: by.viewer.id, expected: body.expected };
        actions::act(&state, order, &chosen).await?
    };
    Ok(web::Json(ActedView {
        action: body.action,
        q: body.q,
        dry_run,
        matched: acted.matched,
        done: acted.done,
        changed: if dry_run { 0 } else { acted.matched.saturating_sub(acted.done) },
        summary: if dry_run { format!("{} would be changed", acted.matched) } else { acted.sentence() },
        as_of,
        more: acted.has_more,
    }))
}
