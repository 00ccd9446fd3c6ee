//! `/console/mails/actions`: asks before it changes mails, and says what came of it.

use actix_web::{HttpResponse, web};
use askama::Template;
use examhall_core::{MailQuery, Timestamp, Viewer, with_commas};
use serde::Deserialize;

use super::{
    guard::Console,
    mails::list_path,
    page::{Notice, NoticeKind, Page, answer, html},
};
use crate::{
    access::may,
    http::{authorized::Authorized, extract::Parameters, problem::Problem},
    operations::actions::{self, MailAction, Order},
};

#[derive(Deserialize)]
pub(super) struct Asked {
    action: MailAction,
    q: String,
}

#[derive(Template)]
#[template(path = "mail_actions.html")]
struct Confirm<'a> {
    page: &'a Page,
    action: MailAction,
    label: &'static str,
    q: &'a str,
    count: u64,
    shown: String,
    /// How many of those that are sent again may have been delivered.
    doubtful: u64,
    has_more: bool,
    as_of: String,
    back: String,
}

pub(super) async fn ask(
    console: Console<may::RetryMails>,
    Parameters(asked): Parameters<Asked>,
) -> Result<HttpResponse, Problem> {
    check(&console, asked.action)?;
    let as_of = Timestamp::from_millis(console.state.queue.now_ms());
    let query = parse(&asked.q, as_of)?;
    let chosen = actions::choose(&console.state, &query, asked.action, as_of.as_millis()).await?;
    let page = console.page(asked.action.label());
    let shown = Confirm {
        page: &page,
        action: asked.action,
        label: asked.action.label(),
        q: &asked.q,
        count: chosen.count(),
        shown: with_commas(chosen.count()),
        doubtful: if asked.action.sends_again() { chosen.doubtful() } else { 0 },
        has_more: chosen.has_more,
        as_of: as_of.to_string(),
        back: page.path(&list_path(&asked.q)),
    };
    html(&page, &shown)
}

#[derive(Deserialize)]
pub(super) struct Confirmed {
    action: MailAction,
    q: String,
    as_of: String,
    expected: u64,
}

pub(super) async fn act(
    Authorized(console, web::Form(form)): Authorized<Console<may::RetryMails>, web::Form<Confirmed>>,
) -> Result<HttpResponse, Problem> {
    check(&console, form.action)?;
    let as_of: Timestamp = form.as_of.parse().map_err(|_| Problem::bad_request("the form has another time"))?;
    let state = &console.state;
    let query = parse(&form.q, as_of)?; // an age is that of the question
    let chosen = actions::choose(state, &query, form.action, as_of.as_millis()).await?;
    let order = Order { action: form.action, q: &form.q, by: console.account.id, expected: Some(form.expected) };
    let acted = actions::act(state, order, &chosen).await?;
    let kind = if acted.done == acted.matched { NoticeKind::Good } else { NoticeKind::Warn };
    let text = format!("{}: {}.", form.action.label(), acted.sentence());
    Ok(answer(&list_path(&form.q), &Notice::new(kind, text)))
}

fn check(console: &Console<may::RetryMails>, action: MailAction) -> Result<(), Problem> {
    action.permission().check(Viewer { id: console.account.id, role: console.account.role })
}

fn parse(q: &str, at: Timestamp) -> Result<MailQuery, Problem> {
    MailQuery::parse(q, at).map_err(|error| Problem::bad_request(error.to_string()))
}
