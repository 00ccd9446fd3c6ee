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
use examhall_core::check_password;
use serde::Deserialize;

use super::auth;
use crate::{
    auth::SecretToken,
    http::{
        page::{Asked, CountedPage, Link, Pages, Sent, complaint, is_no_token},
        problem::Problem,
        resource::resource,
    },
    state::{State, now},
    templates::PageVariables,
};

const PAGE: &str = "page-verify.html";

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let routes = vec![(Method::GET, web::get().to(ask)), (Method::POST, web::post().to(confirm))];
    app.service(resource("/verify", routes));
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(default)]
    token: String,
    /// Asked for where more than one sign-up stands behind the account.
    password: Option<String>,
}

async fn ask(
    state: web::Data<State>,
    pages: Pages,
    CountedPage(counted): CountedPage,
    Asked(link): Asked<Link>,
) -> HttpResponse {
    pages.shown(asked(&state, &pages, counted.and(link)).await)
}

async fn asked(state: &State, pages: &Pages, link: Result<Link, Problem>) -> Result<HttpResponse, Problem> {
    let Link { token } = link?;
    if is_no_token(&token) {
        return pages.refused(PAGE);
    }
    let hash = SecretToken::from_text(token.clone()).hash();
    let asks_password = state.store.accounts.is_contested(&hash, now()).await?;
    pages.page(StatusCode::OK, PAGE, PageVariables { step: "ask", token: &token, asks_password, ..PageVariables::NONE })
}

async fn confirm(state: web::Data<State>, pages: Pages, Sent(form): Sent<Confirmation>) -> HttpResponse {
    pages.shown(confirmed(&state, &pages, form).await)
}

async fn confirmed(
    state: &State,
    pages: &Pages,
    form: Result<(IpAddr, Confirmation), Problem>,
) -> Result<HttpResponse, Problem> {
    let (client, Confirmation { token, password }) = form?;
    if let Some(Err(bad)) = password.as_deref().map(|password| check_password(password, "", "")) {
        let again = PageVariables {
            step: "ask",
            token: &token,
            asks_password: true,
            complaint: complaint(bad),
            ..PageVariables::NONE
        };
        return pages.page(StatusCode::UNPROCESSABLE_ENTITY, PAGE, again);
    }
    if is_no_token(&token) || !auth::confirm(state, client, token, password).await? {
        return pages.refused(PAGE);
    }
    pages.done(PAGE)
}
