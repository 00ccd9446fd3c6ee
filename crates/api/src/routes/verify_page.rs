//! `/verify`: the page that a verification mail links to. It has a button, since programs that look for bad links in
//! mails follow every link, and would use up the token.

use std::net::IpAddr;

use actix_web::{HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    auth::SecretToken,
    http::{
        page::{Asked, Sent, is_no_token, page, shown},
        problem::Problem,
    },
    state::{State, now},
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::resource("/verify").route(web::get().to(ask)).route(web::post().to(confirm)));
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

#[derive(Template)]
#[template(path = "pages/verify.html")]
struct Page<'a> {
    step: Step<'a>,
}

enum Step<'a> {
    Ask(&'a str),
    Done,
    Refused,
}

async fn ask(Asked(link): Asked<Link>) -> HttpResponse {
    shown(link.and_then(|Link { token }| {
        if is_no_token(&token) {
            return page(StatusCode::BAD_REQUEST, &Page { step: Step::Refused });
        }
        page(StatusCode::OK, &Page { step: Step::Ask(&token) })
    }))
}

async fn confirm(state: web::Data<State>, Sent(form): Sent<Link>) -> HttpResponse {
    shown(confirmed(&state, form).await)
}

async fn confirmed(state: &State, form: Result<(IpAddr, Link), Problem>) -> Result<HttpResponse, Problem> {
    let (_, Link { token }) = form?;
    let token = SecretToken::from_text(token);
    if state.store.accounts.verify(&token.hash(), now()).await? {
        page(StatusCode::OK, &Page { step: Step::Done })
    } else {
        page(StatusCode::BAD_REQUEST, &Page { step: Step::Refused })
    }
}
