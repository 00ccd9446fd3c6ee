//! Login with e-mail and password, or in development with a link; logout.

use std::net::IpAddr;

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    web,
};
use askama::Template;
use examhall_core::AccountName;
use examhall_store::{Account, SessionKind};
use serde::Deserialize;

use super::{
    page::{Notice, NoticeKind, Page, answer, html, html_with},
    session,
};
use crate::{
    access::Action,
    auth::SecretToken,
    http::{authorized::Authorized, extract::Parameters, guards::CountedClient, problem::Problem},
    log_in::{Begun, authenticate, begin},
    state::{State, now},
};

const TITLE: &str = "Log in";
/// Longest password that is looked at, in bytes.
const MAX_PASSWORD: usize = 4096;

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    page: &'a Page,
    next: String,
    email: String,
    complaint: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    next: Option<String>,
    token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Sent {
    #[serde(default)]
    next: String,
    email: String,
    password: String,
}

pub(super) async fn ask(
    state: web::Data<State>,
    request: HttpRequest,
    Parameters(link): Parameters<Link>,
    CountedClient(client): CountedClient,
) -> Result<HttpResponse, Problem> {
    let next = safe_next(link.next.as_deref().unwrap_or_default()).to_owned();
    if let Some(token) = link.token.filter(|_| state.site.is_development) {
        return by_link(&state, &request, client, token).await;
    }
    if session::find(&state, &request).await.is_ok() {
        return Ok(HttpResponse::SeeOther().insert_header((LOCATION, next)).finish());
    }
    let page = Page::plain(&state.site, TITLE.to_owned()).with_notice(&request);
    html(&page, &Login { page: &page, next, email: String::new(), complaint: None })
}

pub(super) async fn log_in(
    state: web::Data<State>,
    Authorized(CountedClient(client), web::Form(sent)): Authorized<CountedClient, web::Form<Sent>>,
) -> Result<HttpResponse, Problem> {
    let next = safe_next(&sent.next).to_owned();
    let tried = match AccountName::parse(&sent.email) {
        Ok(name) if sent.password.len() <= MAX_PASSWORD => authenticate(&state, client, &name, sent.password).await,
        Ok(_) => Err(Problem::unauthorized("no account has this address and this password")),
        Err(bad) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the address: {bad}"))),
    };
    let begun = match tried {
        Ok(account) => started(&state, &account, client, &next).await,
        Err(problem) => Err(problem),
    };
    begun.or_else(|problem| match problem.status_code() {
        status if status.is_client_error() => {
            let complaint = Some(format!("You are not logged in: {}.", problem.detail()));
            Ok(problem.add_header_to(shown(&state, status, next, sent.email, complaint)?))
        }
        _ => Err(problem),
    })
}

/// Ends the session; without one it is over already.
pub(super) async fn log_out(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    if let Some(token) = session::token_of(&request) {
        state.store.accounts.end_session(&token.hash(), now()).await?;
    }
    let mut answer = answer("/console/login", &Notice::new(NoticeKind::Good, "You are logged out."));
    answer.headers_mut().append(SET_COOKIE, session::end_cookie());
    Ok(answer)
}

/// Logs in by a link of `api console-link`.
async fn by_link(
    state: &web::Data<State>,
    request: &HttpRequest,
    client: IpAddr,
    token: String,
) -> Result<HttpResponse, Problem> {
    let token = SecretToken::from_text(token);
    let Some(account) = state.store.accounts.use_console_link(&token.hash(), now()).await? else {
        let complaint = "This link was used before, or is too old: make a new one with `api console-link`.";
        let complaint = Some(complaint.to_owned());
        return shown(state, StatusCode::BAD_REQUEST, "/console".to_owned(), String::new(), complaint);
    };
    let mut answer = started(state, &account, client, "/console").await?;
    // From a page of another site the browser would follow the redirect without the new cookie (SameSite=Strict).
    let is_foreign = request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if is_foreign {
        *answer.status_mut() = StatusCode::OK;
        answer.headers_mut().remove(LOCATION);
        let refresh = format!("0; url={}", state.site.path("/console"));
        answer
            .headers_mut()
            .insert(actix_web::http::header::REFRESH, refresh.parse().map_err(|error| Problem::internal(&error))?);
    }
    Ok(answer)
}

/// Begins a session of an account that has proven who it is, if it may use the console.
async fn started(state: &State, account: &Account, client: IpAddr, next: &str) -> Result<HttpResponse, Problem> {
    if !Action::ReadQueue.is_allowed(account.role) {
        return Err(Problem::forbidden("the console is for viewers, operators and administrators"));
    }
    let Begun { token, .. } = begin(state, account, client, SessionKind::Console, session::IDLE).await?;
    tracing::info!(user_id = %account.id, "Logged in to the console");
    let mut answer = HttpResponse::SeeOther();
    Ok(answer.insert_header((LOCATION, next)).insert_header((SET_COOKIE, session::begin_cookie(&token))).finish())
}

fn shown(
    state: &State,
    status: StatusCode,
    next: String,
    email: String,
    complaint: Option<String>,
) -> Result<HttpResponse, Problem> {
    let page = Page::plain(&state.site, TITLE.to_owned());
    html_with(status, &Login { page: &page, next, email, complaint })
}

/// A page of the console to go to after the login; no address of another site.
fn safe_next(next: &str) -> &str {
    let rest = next.strip_prefix("/console");
    let is_page = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let is_text = next.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\');
    let is_loop = next.starts_with("/console/log") || next.starts_with("/console/live");
    if is_page && is_text && !is_loop { next } else { "/console" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_pages_of_the_console_only() {
        for good in ["/console", "/console/audit", "/console/mails?q=to%3Aa%40b.c", "/console?x=1"] {
            assert_eq!(safe_next(good), good);
        }
        for bad in [
            "",
            "/",
            "//evil.example",
            "/consolevil",
            "https://evil.example/console",
            "/console\\@evil.example",
            "/console/\r\nset-cookie: a=b",
            "/console/login?next=/console",
            "/console/logout",
            "/console/live",
            "/api/v1/queue",
        ] {
            assert_eq!(safe_next(bad), "/console", "{bad:?}");
        }
    }
}
