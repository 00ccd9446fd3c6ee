//! `/console/failures`: why mails failed, in groups; a group is retried or removed after a question that names its number.

use actix_web::{HttpResponse, web};
use askama::Template;
use examhall_core::with_commas;
use examhall_delivery::FailureGroup;
use serde::Deserialize;

use super::{
    guard::Console,
    mails::mail_path,
    page::{Notice, NoticeKind, Page, answer, html},
};
use crate::{
    access::{Action, Permission, may},
    http::{
        extract::{Id, Parameters},
        problem::Problem,
    },
    operations::failures::{self, GroupAction, GroupResult},
};

/// Groups on a page.
const PAGE: u32 = 20;

#[derive(Template)]
#[template(path = "failures.html")]
struct Failures<'a> {
    page: &'a Page,
    groups: Vec<FailureGroup>,
    may_retry: bool,
    may_remove: bool,
    newer: Option<String>,
    older: Option<String>,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct Question<'a> {
    page: &'a Page,
    group: FailureGroup,
    verb: &'static str,
    path: &'static str,
    jobs: String,
}

impl Failures<'_> {
    /// Path of the page of a group's sample.
    fn mail(&self, group: &FailureGroup) -> String {
        self.page.path(&mail_path(&group.sample))
    }
}

#[derive(Deserialize)]
pub(super) struct Part {
    skip: Option<u32>,
}

pub(super) async fn show(
    console: Console<may::ReadMails>,
    Parameters(part): Parameters<Part>,
) -> Result<HttpResponse, Problem> {
    let skip = part.skip.unwrap_or_default();
    let (groups, has_more) = failures::groups(&console.state, skip, PAGE).await?;
    let at = |skip: u32| format!("/console/failures?skip={skip}");
    let page = console.page("Failures").live();
    html(
        &page,
        &Failures {
            page: &page,
            groups,
            may_retry: console.may(Action::RetryMails),
            may_remove: console.may(Action::RemoveMails),
            newer: (skip > 0).then(|| at(skip.saturating_sub(PAGE))),
            older: has_more.then(|| at(skip.saturating_add(PAGE))),
        },
    )
}

pub(super) async fn ask_retry(console: Console<may::RetryMails>, Id(id): Id<String>) -> Result<HttpResponse, Problem> {
    ask(&console, &id, GroupAction::Retry).await
}

pub(super) async fn ask_remove(
    console: Console<may::RemoveMails>,
    Id(id): Id<String>,
) -> Result<HttpResponse, Problem> {
    ask(&console, &id, GroupAction::Remove).await
}

async fn ask<P: Permission>(console: &Console<P>, id: &str, action: GroupAction) -> Result<HttpResponse, Problem> {
    let group = failures::group(&console.state, id).await?;
    let (verb, path) = match action {
        GroupAction::Retry => ("Retry", "retry"),
        GroupAction::Remove => ("Remove", "remove"),
    };
    let jobs = mails(group.jobs);
    let page = console.page(format!("{verb} {jobs}?"));
    html(&page, &Question { page: &page, group, verb, path, jobs })
}

pub(super) async fn retry(console: Console<may::RetryMails>, Id(id): Id<String>) -> Result<HttpResponse, Problem> {
    act(&console, id, GroupAction::Retry, "retried").await
}

pub(super) async fn remove(console: Console<may::RemoveMails>, Id(id): Id<String>) -> Result<HttpResponse, Problem> {
    act(&console, id, GroupAction::Remove, "removed").await
}

async fn act<P: Permission>(
    console: &Console<P>,
    id: String,
    action: GroupAction,
    done: &str,
) -> Result<HttpResponse, Problem> {
    let GroupResult { matched, affected } = failures::act(&console.state, &id, action, console.account.id).await?;
    let (kind, text) = match matched - affected {
        0 => (NoticeKind::Good, format!("{} {done}.", mails(affected))),
        changed => (
            NoticeKind::Warn,
            format!("{} of {} {done}, {changed} had changed.", with_commas(affected), mails(matched)),
        ),
    };
    Ok(answer("/console/failures", &Notice::new(kind, text)))
}

fn mails(count: u64) -> String {
    format!("{} {}", with_commas(count), if count == 1 { "mail" } else { "mails" })
}

/// The routes below `/console/failures`.
pub(super) fn routes() -> Vec<(&'static str, Vec<(actix_web::http::Method, actix_web::Route)>)> {
    use actix_web::http::Method;
    vec![
        ("/failures", vec![(Method::GET, web::get().to(show))]),
        ("/failures/{id}/retry", vec![(Method::GET, web::get().to(ask_retry)), (Method::POST, web::post().to(retry))]),
        (
            "/failures/{id}/remove",
            vec![(Method::GET, web::get().to(ask_remove)), (Method::POST, web::post().to(remove))],
        ),
    ]
}
