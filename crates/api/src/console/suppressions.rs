//! `/console/suppressions`: addresses that no mail goes to, why, and since when.

use actix_web::{HttpResponse, web};
use askama::Template;
use examhall_core::EmailAddress;
use examhall_delivery::{NewSuppression, SuppressionCause};
use serde::Deserialize;

use super::{
    guard::Console,
    mails::mail_path,
    page::{Notice, NoticeKind, Page, html},
};
use crate::{
    access::{Action, may},
    audit::Done,
    http::{authorized::Authorized, extract::Parameters, list::bad_cursor, problem::Problem},
    routes::suppressions::SuppressionView,
};

/// Addresses of a page.
const PAGE: usize = 50;
/// Longest reason, in characters.
const MAX_REASON: usize = 500;

#[derive(Deserialize)]
pub(super) struct Asked {
    cursor: Option<String>,
    /// Part of an address.
    #[serde(default)]
    q: String,
}

#[derive(Template)]
#[template(path = "suppressions.html")]
struct Suppressions<'a> {
    page: &'a Page,
    q: &'a str,
    list: Vec<(SuppressionView, Option<String>)>,
    next: Option<String>,
    may_add: bool,
    may_lift: bool,
}

pub(super) async fn show(
    console: Console<may::ReadSuppressions>,
    Parameters(asked): Parameters<Asked>,
) -> Result<HttpResponse, Problem> {
    let skip: usize = asked.cursor.as_deref().map_or(Ok(0), str::parse).map_err(|_| bad_cursor())?;
    let part = asked.q.trim().to_lowercase();
    let mut list = console.state.suppressions.list().await?;
    list.retain(|one| one.address.contains(&part));
    list.reverse(); // newest first
    let page = console.page("Suppressions").live();
    let end = skip.saturating_add(PAGE);
    let next = (end < list.len())
        .then(|| page.path(&format!("/console/suppressions?q={}&cursor={end}", super::mails::encoded(&part))));
    let link = |one: &SuppressionView| one.job_id.as_deref().map(|id| page.path(&mail_path(id)));
    let list = list.into_iter().skip(skip).take(PAGE).map(SuppressionView::from);
    let list = list.map(|one| (link(&one), one)).map(|(link, one)| (one, link)).collect();
    let (may_add, may_lift) = (console.may(Action::SuppressAddresses), console.may(Action::LiftSuppressions));
    html(&page, &Suppressions { page: &page, q: &asked.q, list, next, may_add, may_lift })
}

#[derive(Deserialize)]
pub(super) struct Adding {
    address: String,
    #[serde(default)]
    reason: String,
}

pub(super) async fn add(
    Authorized(console, web::Form(form)): Authorized<Console<may::SuppressAddresses>, web::Form<Adding>>,
) -> Result<HttpResponse, Problem> {
    let Ok(address) = EmailAddress::parse(&form.address) else {
        let notice = Notice::new(NoticeKind::Bad, "This is not an e-mail address.");
        return Ok(console.answer("/console/suppressions", &notice));
    };
    let address = address.canonical();
    let reason: String = form.reason.trim().chars().take(MAX_REASON).collect();
    let why = if reason.is_empty() { "by an operator" } else { &reason };
    let new =
        NewSuppression { address: &address, reason: why, cause: SuppressionCause::Operator, source: "", job_id: "" };
    console.state.suppressions.add(new).await?;
    console.record(Done::one(format!("to:{address}")).because((!reason.is_empty()).then(|| reason.clone()))).await;
    Ok(console.answer("/console/suppressions", &Notice::new(NoticeKind::Good, "No mail goes to this address now.")))
}

#[derive(Deserialize)]
pub(super) struct Lifting {
    address: String,
}

pub(super) async fn lift(
    Authorized(console, web::Form(form)): Authorized<Console<may::LiftSuppressions>, web::Form<Lifting>>,
) -> Result<HttpResponse, Problem> {
    let address = EmailAddress::from_stored(&form.address).canonical();
    let notice = if console.state.suppressions.remove(&address).await? {
        console.record(Done::one(format!("to:{address}"))).await;
        Notice::new(NoticeKind::Good, "Mails go to this address again. Retry those that it has missed.")
    } else {
        Notice::new(NoticeKind::Warn, "This address was not suppressed any more.")
    };
    Ok(console.answer("/console/suppressions", &notice))
}
