//! `/console/audit`: what operators, authors and administrators did.

use actix_web::HttpResponse;
use askama::Template;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_store::{AuditFilter, OperatorAction};

use super::{
    guard::Console,
    page::{Page, html},
};
use crate::{
    access::may,
    http::{list::Paging, problem::Problem},
};

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit<'a> {
    page: &'a Page,
    actions: Vec<OperatorAction>,
    /// Path of the next page.
    older: Option<String>,
}

pub(super) async fn show(console: Console<may::ReadAudit>, Paging(paging): Paging) -> Result<HttpResponse, Problem> {
    let listed = console.state.store.audit.list(&AuditFilter::default(), paging).await?;
    let cursor = listed.next.map(|next| BASE64_URL_SAFE_NO_PAD.encode(next.as_bytes()));
    let older = cursor.map(|cursor| format!("/console/audit?limit={}&cursor={cursor}", paging.limit));
    let page = console.page("Audit").live();
    html(&page, &Audit { page: &page, actions: listed.items, older })
}
