//! `/undo-email`: the page that a former address gets a link to. It has a button, as `/verify` has.

use std::net::IpAddr;

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
    web,
};
use serde::Deserialize;

use super::my_email::undo;
use crate::{
    http::{
        page::{Asked, Pages, Sent, is_no_token},
        problem::Problem,
        resource::resource,
    },
    state::State,
    templates::PageVariables,
};

const PAGE: &str = "page-undo-email.html";
const REFUSED: PageVariables<'static> = PageVariables { step: "refused", ..PageVariables::NONE };

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let routes = vec![(Method::GET, web::get().to(ask)), (Method::POST, web::post().to(confirm))];
    app.service(resource("/undo-email", routes));
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

async fn ask(pages: Pages, Asked(link): Asked<Link>) -> HttpResponse {
    pages.shown(link.and_then(|Link { token }| {
        if is_no_token(&token) {
            return pages.page(StatusCode::BAD_REQUEST, PAGE, REFUSED);
        }
        pages.page(StatusCode::OK, PAGE, PageVariables { step: "ask", token: &token, ..PageVariables::NONE })
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
        return pages.page(StatusCode::BAD_REQUEST, PAGE, REFUSED);
    }
    pages.page(StatusCode::OK, PAGE, PageVariables { step: "done", ..PageVariables::NONE })
}
