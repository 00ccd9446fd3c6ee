//! `/undo-email`: the page that a former address gets a link to. It has a button, as `/verify` has.

use std::net::IpAddr;

use actix_web::{HttpResponse, http::Method, web};

use super::my_email::undo;
use crate::{
    http::{
        page::{Asked, Link, Pages, Sent, is_no_token},
        problem::Problem,
        resource::resource,
    },
    state::State,
};

const PAGE: &str = "page-undo-email.html";

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let routes = vec![(Method::GET, web::get().to(ask)), (Method::POST, web::post().to(confirm))];
    app.service(resource("/undo-email", routes));
}

async fn ask(pages: Pages, Asked(link): Asked<Link>) -> HttpResponse {
    pages.shown(link.and_then(|Link { token }| {
        if is_no_token(&token) {
            return pages.refused(PAGE);
        }
        pages.ask(PAGE, &token)
    }))
}

async fn confirm(state: web::Data<State>, pages: Pages, Sent(form): Sent<Link>) -> HttpResponse {
    pages.shown(confirmed(&state, &pages, form).await)
}

async fn confirmed(
    state: &State,
    pages: &Pages,
    form: Result<(IpAddr, Link), Problem>,
) -> Result<HttpResponse, Problem> {
    let (_, Link { token }) = form?;
    if is_no_token(&token) || !undo(state, token, pages.language()).await? {
        return pages.refused(PAGE);
    }
    pages.done(PAGE)
}
