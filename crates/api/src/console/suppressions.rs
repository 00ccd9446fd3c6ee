//! `/console/suppressions`: addresses that no mail goes to, why, and since when.

use actix_web::{HttpResponse, web};
use askama::Template;
use examhall_core::{EmailAddress, with_commas};
use examhall_delivery::{NewSuppression, Suppression, SuppressionCause};
use serde::Deserialize;

use super::{
    guard::Console,
    mails::{encoded, mail_path, search_path},
    page::{Notice, NoticeKind, Page, answer, html},
};
use crate::{
    access::{Action, may},
    audit::Done,
    http::{authorized::Authorized, extract::Parameters, problem::Problem},
    operations::search::PAGE_TIME,
    routes::suppressions::{SuppressionView, cursor},
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
    /// Whether only those that are held.
    #[serde(default)]
    held: bool,
}

#[derive(Template)]
#[template(path = "suppressions.html")]
struct Suppressions<'a> {
    page: &'a Page,
    q: &'a str,
    list: Vec<Row>,
    is_held: bool,
    looked_at: String,
    next: Option<String>,
    /// Name and path of the list with and without those that are in force, and whether it is the one that is shown.
    tabs: [(&'static str, String, bool); 2],
    rights: Rights,
}

/// An entry of the list.
struct Row {
    entry: SuppressionView,
    /// Path of a search for mails to the address.
    search: String,
    /// Path of the mail that was the cause.
    mail: Option<String>,
}

/// What somebody may do here.
struct Rights {
    add: bool,
    lift: bool,
    confirm: bool,
}

pub(super) async fn show(
    console: Console<may::ReadSuppressions>,
    Parameters(asked): Parameters<Asked>,
) -> Result<HttpResponse, Problem> {
    let from = cursor(asked.cursor.as_deref())?;
    let part = asked.q.trim().to_lowercase();
    let is_wanted = |one: &Suppression| one.address.contains(&part) && (!asked.held || one.is_held);
    let found = console.state.suppressions.page(from, PAGE, PAGE_TIME, is_wanted).await?;
    let page = console.page("Suppressions").live();
    let path = |held: bool| {
        let held = if held { "&held=true" } else { "" };
        format!("/console/suppressions?q={}{held}", encoded(&part))
    };
    let next = found.next.map(|next| page.path(&format!("{}&cursor={next}", path(asked.held))));
    let row = |one: Suppression| Row {
        search: page.path(&search_path(&format!("to:{:?}", one.address))),
        mail: one.job_id.as_deref().map(|id| page.path(&mail_path(id))),
        entry: one.into(),
    };
    let list: Vec<_> = found.items.into_iter().map(row).collect();
    let rights = Rights {
        add: console.may(Action::SuppressAddresses),
        lift: console.may(Action::LiftSuppressions),
        confirm: console.may(Action::ConfirmSuppressions),
    };
    let tabs = [("All", page.path(&path(false)), !asked.held), ("Held", page.path(&path(true)), asked.held)];
    let looked_at = with_commas(found.looked_at);
    let is_held = asked.held;
    html(&page, &Suppressions { page: &page, q: &asked.q, list, is_held, looked_at, next, tabs, rights })
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
        return Ok(answer("/console/suppressions", &notice));
    };
    let address = address.canonical();
    let reason: String = form.reason.trim().chars().take(MAX_REASON).collect();
    let why = if reason.is_empty() { "by an operator" } else { &reason };
    let new =
        NewSuppression { address: &address, reason: why, cause: SuppressionCause::Operator, source: "", job_id: "" };
    console.state.suppressions.add(new).await?;
    console.record(Done::one(format!("to:{address}")).because((!reason.is_empty()).then(|| reason.clone()))).await;
    Ok(answer("/console/suppressions", &Notice::new(NoticeKind::Good, "No mail goes to this address now.")))
}

#[derive(Deserialize)]
pub(super) struct Named {
    address: String,
}

/// An address that is held is suppressed from now on.
pub(super) async fn confirm(
    Authorized(console, web::Form(form)): Authorized<Console<may::ConfirmSuppressions>, web::Form<Named>>,
) -> Result<HttpResponse, Problem> {
    let address = EmailAddress::from_stored(&form.address).canonical();
    let notice = if console.state.suppressions.confirm(std::slice::from_ref(&address)).await? > 0 {
        console.record(Done::one(format!("to:{address}"))).await;
        Notice::new(NoticeKind::Good, "No mail goes to this address now.")
    } else {
        Notice::new(NoticeKind::Warn, "This address was not held any more.")
    };
    Ok(answer("/console/suppressions?held=true", &notice))
}

pub(super) async fn lift(
    Authorized(console, web::Form(form)): Authorized<Console<may::LiftSuppressions>, web::Form<Named>>,
) -> Result<HttpResponse, Problem> {
    let address = EmailAddress::from_stored(&form.address).canonical();
    let notice = if console.state.suppressions.remove(&address).await? {
        console.record(Done::one(format!("to:{address}"))).await;
        Notice::new(NoticeKind::Good, "Mails go to this address again. Retry those that it has missed.")
    } else {
        Notice::new(NoticeKind::Warn, "This address was not suppressed any more.")
    };
    Ok(answer("/console/suppressions", &notice))
}
