//! `/console/mails/actions`: asks before it changes mails, and says what came of it.

use actix_web::{HttpResponse, web};
use askama::Template;
use examhall_core::{MailQuery, Timestamp, Viewer};
use serde::Deserialize;

use super::{
    format,
    guard::Console,
    mails::search_path,
    page::{Notice, NoticeKind, Page, html},
};
use crate::{
    access::may,
    audit::{self, Done},
    http::{authorized::Authorized, extract::Parameters, problem::Problem},
    operations::actions::{self, MailAction},
    state::now,
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
    let chosen = actions::choose(&console.state, &parse(&asked.q)?, asked.action, as_of.as_millis()).await?;
    let page = console.page(asked.action.label());
    let shown = Confirm {
        page: &page,
        action: asked.action,
        label: asked.action.label(),
        q: &asked.q,
        count: chosen.count(),
        shown: format::number(chosen.count()),
        has_more: chosen.has_more,
        as_of: as_of.to_string(),
        back: page.path(&search_path(&asked.q)),
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
    let chosen = actions::choose(state, &parse(&form.q)?, form.action, as_of.as_millis()).await?;
    let acted = actions::act(state, form.action, chosen, Some(form.expected)).await?;
    let done = Done { filter: form.q.clone(), matched: acted.matched, affected: acted.done, reason: None };
    audit::record_as(state, console.account.id, form.action.permission(), done).await;
    let kind = if acted.done == acted.matched { NoticeKind::Good } else { NoticeKind::Warn };
    let text = format!("{}: {}.", form.action.label(), acted.sentence());
    Ok(console.answer(&search_path(&form.q), &Notice::new(kind, text)))
}

fn check(console: &Console<may::RetryMails>, action: MailAction) -> Result<(), Problem> {
    action.permission().check(Viewer { id: console.account.id, role: console.account.role })
}

fn parse(q: &str) -> Result<MailQuery, Problem> {
    MailQuery::parse(q, now()).map_err(|error| Problem::bad_request(error.to_string()))
}
