//! `/verify`: the page that a verification mail links to. It has a button, since programs that look for bad links in
//! mails follow every link, and would use up the token.

use actix_web::{HttpResponse, http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    auth::SecretToken,
    http::{client::Client, page::page, problem::Problem},
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
    page(StatusCode::OK, &Page { step: Step::Ask(&link.token) })
}

async fn confirm(
    state: web::Data<State>,
    Client(client): Client,
    link: web::Form<Link>,
) -> Result<HttpResponse, Problem> {
    state.limits.client(client).await?;
    let token = SecretToken::from_text(link.into_inner().token);
    if state.store.accounts.verify(&token.hash(), now()).await? {
        page(StatusCode::OK, &Page { step: Step::Done })
    } else {
        page(StatusCode::BAD_REQUEST, &Page { step: Step::Refused })
    }
}
