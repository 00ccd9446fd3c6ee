//! `/emails/history`: how many mails were sent, failed and deferred.

use actix_web::web;
use examhall_core::Timestamp;
use examhall_delivery::{Deploy, HistoryStep, MailBucket};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::{Allowed, may},
    http::{extract::Parameters, problem::Problem},
    openapi::{Operation, get},
    operations::history,
    state::State,
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![get("/emails/history", "readEmailHistory", "See how many mails were sent, by time", read)]
}

#[derive(Deserialize, JsonSchema)]
struct Wanted {
    /// `minute` for the last 24 hours, `hour` for the last 14 days.
    per: Option<Per>,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Per {
    #[default]
    Minute,
    Hour,
}

impl From<Per> for HistoryStep {
    fn from(per: Per) -> Self {
        match per {
            Per::Minute => Self::Minute,
            Per::Hour => Self::Hour,
        }
    }
}

/// Counts by time.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EmailHistory")]
struct HistoryView {
    per: Per,
    /// Start of the first bucket.
    from: Timestamp,
    /// End of the last one.
    until: Timestamp,
    /// Buckets in which something happened, oldest first.
    items: Vec<BucketView>,
    /// Versions of the mailer that were deployed.
    deploys: Vec<DeployView>,
}

/// Counts of a minute or an hour.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
struct BucketView {
    /// Its start.
    at: Timestamp,
    /// Mails that a server accepted.
    sent: u64,
    /// Mails that failed for good.
    failed: u64,
    /// Attempts after which a mail is tried again.
    deferred: u64,
    /// Milliseconds from commit to acceptance that half of the mails did not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<i64>,
    /// The same of 95 in a hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_ms: Option<i64>,
}

/// A version of the mailer.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct DeployView {
    #[schemars(extend("examples" = ["1.2.0"]))]
    version: String,
    at: Timestamp,
}

impl From<(Timestamp, MailBucket)> for BucketView {
    fn from((at, bucket): (Timestamp, MailBucket)) -> Self {
        let (p50_ms, p95_ms) = (bucket.wait_ms(50), bucket.wait_ms(95));
        Self { at, sent: bucket.sent, failed: bucket.failed, deferred: bucket.deferred, p50_ms, p95_ms }
    }
}

async fn read(
    state: web::Data<State>,
    _: Allowed<may::ReadQueue>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<web::Json<HistoryView>, Problem> {
    let per = wanted.per.unwrap_or_default();
    let history = history::read(&state, per.into()).await?;
    let deploy = |Deploy { version, at }: Deploy| DeployView { version, at };
    Ok(web::Json(HistoryView {
        per,
        from: history.from,
        until: history.to,
        items: history.buckets.into_iter().map(BucketView::from).collect(),
        deploys: history.deploys.into_iter().map(deploy).collect(),
    }))
}
