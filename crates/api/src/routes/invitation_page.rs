//! `/invitation`: the page that an invitation to an exam links to. It asks for a name and a password; looking at it uses
//! nothing up. Somebody who has an account is told to log in.

use std::net::IpAddr;

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
    web,
};
use examhall_core::{Profile, check_name};
use examhall_store::Invitation;
use serde::Deserialize;

use super::invitations::{Outcome, accepted};
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

const PAGE: &str = "page-invitation.html";

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let routes = vec![(Method::GET, web::get().to(ask)), (Method::POST, web::post().to(accept))];
    app.service(resource("/invitation", routes));
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
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
    let Some(invitation) = invitation(state, &token).await? else {
        return pages.refused(PAGE);
    };
    let (exam, name) = (invitation.exam.as_str(), invitation.entry.name.as_str());
    let step = if invitation.has_account { "known" } else { "ask" };
    pages.page(StatusCode::OK, PAGE, PageVariables { step, token: &token, name, exam, ..PageVariables::NONE })
}

async fn invitation(state: &State, token: &str) -> Result<Option<Invitation>, Problem> {
    if is_no_token(token) {
        return Ok(None);
    }
    let hash = SecretToken::from_text(token.to_owned()).hash();
    Ok(state.store.seats.invitation(&hash, now()).await?)
}

async fn accept(state: web::Data<State>, pages: Pages, Sent(choice): Sent<Choice>) -> HttpResponse {
    pages.shown(answered(&state, &pages, choice).await)
}

async fn answered(
    state: &State,
    pages: &Pages,
    choice: Result<(IpAddr, Choice), Problem>,
) -> Result<HttpResponse, Problem> {
    let (client, Choice { token, name, password }) = choice?;
    let name = name.trim().to_owned();
    let again = PageVariables { step: "ask", token: &token, name: &name, ..PageVariables::NONE };
    if is_no_token(&token) {
        return pages.refused(PAGE);
    }
    if name.is_empty() || name.chars().count() > Profile::MAX_NAME || check_name(&name).is_err() {
        let Some(Invitation { exam, .. }) = invitation(state, &token).await? else {
            return pages.refused(PAGE);
        };
        let again = PageVariables { complaint: "name", exam: &exam, ..again };
        return pages.page(StatusCode::UNPROCESSABLE_ENTITY, PAGE, again);
    }
    match accepted(state, client, &token, name.clone(), password, pages.language().cloned()).await? {
        Outcome::Ready => pages.done(PAGE),
        Outcome::HasAccount { exam } => {
            let known = PageVariables { step: "known", exam: &exam, ..PageVariables::NONE };
            pages.page(StatusCode::CONFLICT, PAGE, known)
        }
        Outcome::BadPassword { error, exam } => {
            let again = PageVariables { complaint: complaint(error), exam: &exam, ..again };
            pages.page(StatusCode::UNPROCESSABLE_ENTITY, PAGE, again)
        }
        Outcome::Refused => pages.refused(PAGE),
    }
}
