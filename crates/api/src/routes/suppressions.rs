//! `/suppressions`: addresses that no mail goes to.

use actix_web::web;
use examhall_core::{EmailAddress, Timestamp};
use examhall_delivery::{NewSuppression, Suppression, SuppressionCause, SuppressionCursor};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::email_status::moment;
use crate::{
    access::{Allowed, may},
    audit::{self, Done},
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::{Id, Parameters},
        list::{Items, Limit, bad_cursor},
        problem::Problem,
        respond::{Created, NoContent},
    },
    openapi::{Operation, delete, get, post},
    operations::search::PAGE_TIME,
    state::State,
};

/// Held entries that are read together.
const TOGETHER: usize = 1000;

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/suppressions", "listSuppressions", "List suppressed addresses", all),
        post("/suppressions", "suppressAddress", "Suppress an address", add),
        post("/suppressions/confirm", "confirmSuppressions", "Let addresses that are held be suppressed", confirm),
        get("/suppressions/{id}", "readSuppression", "See why an address is suppressed", read),
        delete("/suppressions/{id}", "removeSuppression", "Let mails go to an address again", remove),
    ]
}

/// A suppressed address.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Suppression")]
pub(crate) struct SuppressionView {
    pub(crate) address: String,
    pub(crate) reason: String,
    /// `refused`, `bounced`, `complained` or `operator`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<&'static str>,
    /// Mail server or provider that said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// Job of the mail that was the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// Until then, if it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// Whether it stops no mail until it is confirmed: its source suppressed too many.
    pub(crate) held: bool,
}

impl From<Suppression> for SuppressionView {
    fn from(one: Suppression) -> Self {
        Self {
            address: one.address,
            reason: one.reason,
            cause: one.cause.map(SuppressionCause::as_str),
            source: one.source,
            job_id: one.job_id,
            since: moment(Some(one.since)),
            until: moment(one.until),
            held: one.is_held,
        }
    }
}

/// Reads where a page begins.
pub(crate) fn cursor(text: Option<&str>) -> Result<SuppressionCursor, Problem> {
    text.map_or(Ok(SuppressionCursor::default()), str::parse).map_err(|_| bad_cursor())
}

#[derive(Deserialize, JsonSchema)]
struct Listing {
    /// Those that are held only, or those that are not.
    held: Option<bool>,
    /// Highest number of items.
    limit: Option<Limit>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// A short list comes newest first; the pages of one with more than some hundred entries come in no order. A page may have fewer
/// items than were asked for, or none, and not be the last one: what is looked at for one page is limited.
async fn all(
    state: web::Data<State>,
    _: Allowed<may::ReadSuppressions>,
    Parameters(listing): Parameters<Listing>,
) -> Result<web::Json<Items<SuppressionView>>, Problem> {
    let Limit(limit) = listing.limit.unwrap_or_default();
    let from = cursor(listing.cursor.as_deref())?;
    let is_wanted = |one: &Suppression| listing.held.is_none_or(|held| one.is_held == held);
    let page = state.suppressions.page(from, limit as usize, PAGE_TIME, is_wanted).await?;
    let items = page.items.into_iter().map(SuppressionView::from).collect();
    Ok(Items::new(items, page.next.map(|next| next.to_string())))
}

/// An address to suppress.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewSuppression")]
struct Suppressing {
    #[garde(skip)]
    address: EmailAddress,
    #[garde(length(chars, min = 1, max = 500))]
    #[schemars(length(min = 1, max = 500))]
    reason: Option<String>,
}

async fn add(
    state: web::Data<State>,
    Authorized(by, JsonBody(body)): Authorized<Allowed<may::SuppressAddresses>, JsonBody<Suppressing>>,
) -> Result<Created<SuppressionView>, Problem> {
    let address = body.address.canonical();
    let reason = body.reason.as_deref().unwrap_or("by an operator");
    let new = NewSuppression { address: &address, reason, cause: SuppressionCause::Operator, source: "", job_id: "" };
    state.suppressions.add(new).await?;
    audit::record(&state, &by, Done::one(format!("to:{address}")).because(body.reason.clone())).await;
    tracing::info!("Address suppressed by an operator");
    let body = state.suppressions.get(&address).await?.ok_or_else(Problem::not_found)?;
    let name: String = url::form_urlencoded::byte_serialize(address.as_bytes()).collect();
    Ok(Created { location: format!("/api/v1/suppressions/{name}"), body: body.into() })
}

async fn read(
    state: web::Data<State>,
    _: Allowed<may::ReadSuppressions>,
    Id(address): Id<String>,
) -> Result<web::Json<SuppressionView>, Problem> {
    let found = state.suppressions.get(&canonical(&address)).await?;
    Ok(web::Json(found.ok_or_else(Problem::not_found)?.into()))
}

async fn remove(
    state: web::Data<State>,
    by: Allowed<may::LiftSuppressions>,
    Id(address): Id<String>,
) -> Result<NoContent, Problem> {
    let address = canonical(&address);
    if !state.suppressions.remove(&address).await? {
        return Err(Problem::not_found());
    }
    audit::record(&state, &by, Done::one(format!("to:{address}"))).await;
    tracing::info!("Suppression removed by an operator");
    Ok(NoContent)
}

/// Which addresses; all that are held where there are none.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Confirming {
    #[garde(length(max = 1000))]
    #[schemars(length(max = 1000))]
    addresses: Option<Vec<EmailAddress>>,
}

/// How many are suppressed from now on.
#[derive(Serialize, JsonSchema)]
struct Confirmed {
    confirmed: u64,
}

async fn confirm(
    state: web::Data<State>,
    Authorized(by, JsonBody(body)): Authorized<Allowed<may::ConfirmSuppressions>, JsonBody<Confirming>>,
) -> Result<web::Json<Confirmed>, Problem> {
    let addresses: Vec<_> = if let Some(named) = body.addresses {
        named.iter().map(EmailAddress::canonical).collect()
    } else {
        held(&state).await?
    };
    let confirmed = state.suppressions.confirm(&addresses).await?;
    audit::record(&state, &by, Done { matched: addresses.len() as u64, ..Done::all(confirmed) }).await;
    tracing::info!(confirmed, "Suppressions confirmed by an operator");
    Ok(web::Json(Confirmed { confirmed }))
}

/// All addresses that are held.
async fn held(state: &State) -> Result<Vec<String>, Problem> {
    let (mut addresses, mut from) = (Vec::new(), Some(SuppressionCursor::default()));
    while let Some(at) = from {
        let page = state.suppressions.page(at, TOGETHER, PAGE_TIME, |one| one.is_held).await?;
        addresses.extend(page.items.into_iter().map(|one| one.address));
        from = page.next;
    }
    Ok(addresses)
}

fn canonical(address: &str) -> String {
    EmailAddress::from_stored(address).canonical()
}
