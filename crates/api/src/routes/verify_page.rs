//! `/verify`: the page that a verification mail links to. It has a button, since programs that look for bad links in
//! mails follow every link, and would use up the token.
//!
//! Where more than one sign-up stands behind the account it asks for the password, too: else somebody who signs up after
//! the address's owner, and whose mail is the newest, would have theirs count by the owner's click.

use std::net::IpAddr;

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
    web,
};
use askama::Template;
use examhall_core::check_password;
use serde::Deserialize;

use super::auth;
use crate::{
    auth::SecretToken,
    http::{
        page::{Asked, CountedPage, Sent, is_no_token, page, shown},
        problem::Problem,
        resource::resource,
    },
    state::{State, now},
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let routes = vec![(Method::GET, web::get().to(ask)), (Method::POST, web::post().to(confirm))];
    app.service(resource("/verify", routes));
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(default)]
    token: String,
    /// Asked for where more than one sign-up stands behind the account.
    password: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/verify.html")]
struct Page<'a> {
    step: Step<'a>,
}

enum Step<'a> {
    Ask {
        token: &'a str,
        asks_password: bool,
        /// What was wrong with the password that was sent; empty at first.
        complaint: &'a str,
    },
    Done,
    Refused,
}

async fn ask(state: web::Data<State>, CountedPage(counted): CountedPage, Asked(link): Asked<Link>) -> HttpResponse {
    shown(asked(&state, counted.and(link)).await)
}

async fn asked(state: &State, link: Result<Link, Problem>) -> Result<HttpResponse, Problem> {
    let Link { token } = link?;
    if is_no_token(&token) {
        return page(StatusCode::BAD_REQUEST, &Page { step: Step::Refused });
    }
    let hash = SecretToken::from_text(token.clone()).hash();
    let asks_password = state.store.accounts.is_contested(&hash, now()).await?;
    page(StatusCode::OK, &Page { step: Step::Ask { token: &token, asks_password, complaint: "" } })
}

async fn confirm(state: web::Data<State>, Sent(form): Sent<Confirmation>) -> HttpResponse {
    shown(confirmed(&state, form).await)
}

async fn confirmed(state: &State, form: Result<(IpAddr, Confirmation), Problem>) -> Result<HttpResponse, Problem> {
    let (client, Confirmation { token, password }) = form?;
    if let Some(Err(complaint)) = password.as_deref().map(|password| check_password(password, "", "")) {
        let step = Step::Ask { token: &token, asks_password: true, complaint: &complaint.to_string() };
        return page(StatusCode::UNPROCESSABLE_ENTITY, &Page { step });
    }
    if is_no_token(&token) || !auth::confirm(state, client, token, password).await? {
        return page(StatusCode::BAD_REQUEST, &Page { step: Step::Refused });
    }
    page(StatusCode::OK, &Page { step: Step::Done })
}
