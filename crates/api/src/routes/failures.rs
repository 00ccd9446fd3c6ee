//! `/emails/failures`: failed mails in groups, by what failed.

use actix_web::web;
use examhall_core::Timestamp;
use examhall_delivery::FailureGroup;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::{Allowed, may},
    http::{
        extract::{Id, Parameters},
        list::{Items, Limit, bad_cursor},
        problem::Problem,
        respond::Accepted,
    },
    openapi::{Operation, get, post},
    operations::failures::{self, GroupAction, GroupResult},
    state::State,
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/emails/failures", "listFailures", "See why mails failed, in groups", all),
        get("/emails/failures/{id}", "readFailure", "See one group of failed mails", read),
        post("/emails/failures/{id}/retry", "retryFailure", "Try the mails of a group again", retry),
        post("/emails/failures/{id}/remove", "removeFailure", "Remove the mails of a group", remove),
    ]
}

/// Mails that failed in the same way.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "FailureGroup")]
struct FailureView {
    /// Made of what failed: 16 hexadecimal digits.
    id: String,
    /// What failed, in words.
    signature: String,
    /// Phase of the SMTP dialogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<String>,
    /// Code of the server's reply (RFC 5321).
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    /// Enhanced code of the reply (RFC 3463).
    #[serde(skip_serializing_if = "Option::is_none")]
    enhanced: Option<String>,
    /// Domain of the recipients, where they have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// Why, if no server refused them.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Mails that have failed so, those that were retried or removed since then included.
    count: u64,
    /// Mails that are in the group now.
    jobs: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    /// Job of the last one.
    sample: String,
}

impl From<FailureGroup> for FailureView {
    fn from(group: FailureGroup) -> Self {
        let signature = group.signature.to_string();
        let FailureGroup { id, signature: what, count, jobs, first_at, last_at, sample } = group;
        Self {
            id,
            signature,
            phase: what.phase,
            code: what.code,
            enhanced: what.enhanced,
            domain: what.domain,
            reason: what.reason,
            count,
            jobs,
            first_at,
            last_at,
            sample,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
struct Listing {
    /// Highest number of items.
    limit: Option<Limit>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// The group that was met last first.
async fn all(
    state: web::Data<State>,
    _: Allowed<may::ReadMails>,
    Parameters(listing): Parameters<Listing>,
) -> Result<web::Json<Items<FailureView>>, Problem> {
    let Limit(limit) = listing.limit.unwrap_or_default();
    let skip: u32 = listing.cursor.as_deref().map_or(Ok(0), str::parse).map_err(|_| bad_cursor())?;
    let (groups, has_more) = failures::groups(&state, skip, limit).await?;
    let next_cursor = has_more.then(|| skip.saturating_add(limit).to_string());
    Ok(Items::new(groups.into_iter().map(FailureView::from).collect(), next_cursor))
}

async fn read(
    state: web::Data<State>,
    _: Allowed<may::ReadMails>,
    Id(id): Id<String>,
) -> Result<web::Json<FailureView>, Problem> {
    Ok(web::Json(failures::group(&state, &id).await?.into()))
}

/// What was done to a group.
#[derive(Serialize, JsonSchema)]
struct GroupChange {
    /// Mails that were in the group.
    matched: u64,
    /// Mails that were changed.
    affected: u64,
    /// Mails that had changed before.
    changed: u64,
}

impl From<GroupResult> for GroupChange {
    fn from(GroupResult { matched, affected }: GroupResult) -> Self {
        Self { matched, affected, changed: matched - affected }
    }
}

async fn retry(
    state: web::Data<State>,
    by: Allowed<may::RetryMails>,
    Id(id): Id<String>,
) -> Result<Accepted<GroupChange>, Problem> {
    Ok(Accepted(failures::act(&state, &id, GroupAction::Retry, by.viewer.id).await?.into()))
}

async fn remove(
    state: web::Data<State>,
    by: Allowed<may::RemoveMails>,
    Id(id): Id<String>,
) -> Result<web::Json<GroupChange>, Problem> {
    Ok(web::Json(failures::act(&state, &id, GroupAction::Remove, by.viewer.id).await?.into()))
}
