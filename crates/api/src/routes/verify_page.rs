//! `/verify`: the page that a verification mail links to. It has a button, since programs that look for bad links in
//! mails follow every link, and would use up the token.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    auth::SecretToken,
    http::problem::Problem,
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

async fn ask(link: web::Query<Link>) -> Result<HttpResponse, Problem> {
    page(HttpResponse::Ok(), Step::Ask(&link.token))
}

async fn confirm(state: web::Data<State>, link: web::Form<Link>) -> Result<HttpResponse, Problem> {
    let token = SecretToken::from_text(link.into_inner().token);
    if state.store.accounts.verify(&token.hash(), now()).await? {
        page(HttpResponse::Ok(), Step::Done)
    } else {
        page(HttpResponse::BadRequest(), Step::Refused)
    }
}

fn page(mut response: actix_web::HttpResponseBuilder, step: Step<'_>) -> Result<HttpResponse, Problem> {
    let html = Page { step }.render().map_err(|error| Problem::internal(&error))?;
    Ok(response
        .content_type("text/html; charset=utf-8")
        .insert_header(("referrer-policy", "no-referrer")) // the address holds the token
        .insert_header((
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ))
        .body(html))
}
