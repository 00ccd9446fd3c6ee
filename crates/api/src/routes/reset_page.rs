//! `/reset`: the page that a reset mail links to. It asks for the new password; looking at it uses nothing up.

use std::net::IpAddr;

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
    web,
};
use askama::Template;
use examhall_core::check_password;
use serde::Deserialize;

use super::auth::set_password;
use crate::{
    http::{
        page::{Asked, Sent, is_no_token, page, shown},
        problem::Problem,
        resource::resource,
    },
    state::State,
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let routes = vec![(Method::GET, web::get().to(ask)), (Method::POST, web::post().to(change))];
    app.service(resource("/reset", routes));
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
struct Choice {
    token: String,
    password: String,
}

#[derive(Template)]
#[template(path = "pages/reset.html")]
struct Page<'a> {
    step: Step<'a>,
}

enum Step<'a> {
    Ask {
        token: &'a str,
        /// What was wrong with the password that was sent; empty at first.
        complaint: &'a str,
    },
    Done,
    Refused,
}

async fn ask(Asked(link): Asked<Link>) -> HttpResponse {
    shown(link.and_then(|Link { token }| {
        if is_no_token(&token) {
            return page(StatusCode::BAD_REQUEST, &Page { step: Step::Refused });
        }
        page(StatusCode::OK, &Page { step: Step::Ask { token: &token, complaint: "" } })
    }))
}

async fn change(state: web::Data<State>, Sent(choice): Sent<Choice>) -> HttpResponse {
    shown(changed(&state, choice).await)
}

async fn changed(state: &State, choice: Result<(IpAddr, Choice), Problem>) -> Result<HttpResponse, Problem> {
    let (client, Choice { token, password }) = choice?;
    if let Err(complaint) = check_password(&password, "", "") {
        let step = Step::Ask { token: &token, complaint: &complaint.to_string() };
        return page(StatusCode::UNPROCESSABLE_ENTITY, &Page { step });
    }
    if is_no_token(&token) || !set_password(state, client, token, password).await? {
        return page(StatusCode::BAD_REQUEST, &Page { step: Step::Refused });
    }
    page(StatusCode::OK, &Page { step: Step::Done })
}
