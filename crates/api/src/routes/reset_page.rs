//! `/reset`: the page that a reset mail links to. It asks for the new password; looking at it uses nothing up.

use std::net::IpAddr;

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
    web,
};
use examhall_core::check_password;
use serde::Deserialize;

use super::auth::set_password;
use crate::{
    http::{
        page::{Asked, Link, Pages, Sent, complaint, is_no_token},
        problem::Problem,
        resource::resource,
    },
    state::State,
    templates::PageVariables,
};

const PAGE: &str = "page-reset.html";

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let routes = vec![(Method::GET, web::get().to(ask)), (Method::POST, web::post().to(change))];
    app.service(resource("/reset", routes));
}

#[derive(Deserialize)]
struct Choice {
    token: String,
    password: String,
}

async fn ask(pages: Pages, Asked(link): Asked<Link>) -> HttpResponse {
    pages.shown(link.and_then(|Link { token }| {
        if is_no_token(&token) {
            return pages.refused(PAGE);
        }
        pages.ask(PAGE, &token)
    }))
}

async fn change(state: web::Data<State>, pages: Pages, Sent(choice): Sent<Choice>) -> HttpResponse {
    pages.shown(changed(&state, &pages, choice).await)
}

async fn changed(
    state: &State,
    pages: &Pages,
    choice: Result<(IpAddr, Choice), Problem>,
) -> Result<HttpResponse, Problem> {
    let (client, Choice { token, password }) = choice?;
    if let Err(bad) = check_password(&password, "", "") {
        let again = PageVariables { step: "ask", token: &token, complaint: complaint(bad), ..PageVariables::NONE };
        return pages.page(StatusCode::UNPROCESSABLE_ENTITY, PAGE, again);
    }
    if is_no_token(&token) || !set_password(state, client, token, password, pages.language()).await? {
        return pages.refused(PAGE);
    }
    pages.done(PAGE)
}
