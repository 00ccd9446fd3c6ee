//! `/console`: how the queue is.

use actix_web::HttpResponse;
use askama::Template;

use super::{
    format,
    guard::Console,
    page::{Page, html},
};
use crate::{
    access::{Action, may},
    http::problem::Problem,
};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    page: &'a Page,
    counts: Vec<(&'static str, String)>,
    is_paused: bool,
    may_pause: bool,
}

pub(super) async fn show(console: Console<may::ReadQueue>) -> Result<HttpResponse, Problem> {
    let counts = console.state.queue.counts().await?;
    let counts = counts.by_state().map(|(state, count)| (state.as_str(), format::count(count.unsigned_abs())));
    let is_paused = console.state.queue.is_paused().await?;
    let page = console.page("Overview").live();
    let may_pause = console.may(Action::PauseQueue);
    html(&page, &Overview { page: &page, counts: counts.collect(), is_paused, may_pause })
}
