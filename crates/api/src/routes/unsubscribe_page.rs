//! `/unsubscribe`: ends mails about results, without a login. Mail programs send the POST themselves (RFC 8058); people who
//! follow the link in the mail see a page with a button, since programs that look for bad links follow every link.
//!
//! Requests are not counted: those of a mail provider come from few addresses, and a token that is not ours costs nothing.

use actix_web::{HttpResponse, http::Method, web};

use crate::{
    http::{
        page::{Asked, Link, Pages, is_no_token},
        problem::Problem,
        resource::resource,
    },
    state::{State, now},
};

const PAGE: &str = "page-unsubscribe.html";

pub(super) fn routes(app: &mut web::ServiceConfig) {
    let routes = vec![(Method::GET, web::get().to(ask)), (Method::POST, web::post().to(unsubscribe))];
    app.service(resource("/unsubscribe", routes));
}

async fn ask(state: web::Data<State>, pages: Pages, Asked(link): Asked<Link>) -> HttpResponse {
    pages.shown(link.and_then(|Link { token }| {
        if is_no_token(&token) || state.mail_composer.unsubscriber(&token).is_none() {
            return pages.refused(PAGE);
        }
        pages.ask(PAGE, &token)
    }))
}

/// The token in the address says all: the body is `List-Unsubscribe=One-Click`, or that of the page's form.
async fn unsubscribe(state: web::Data<State>, pages: Pages, Asked(link): Asked<Link>) -> HttpResponse {
    pages.shown(unsubscribed(&state, &pages, link).await)
}

async fn unsubscribed(state: &State, pages: &Pages, link: Result<Link, Problem>) -> Result<HttpResponse, Problem> {
    let Link { token } = link?;
    let user =
        Some(token).filter(|token| !is_no_token(token)).and_then(|token| state.mail_composer.unsubscriber(&token));
    let Some(user) = user else { return pages.refused(PAGE) };
    state.store.accounts.unsubscribe_from_results(user, now()).await?;
    tracing::info!(user_id = %user, "Unsubscribed from results");
    pages.done(PAGE)
}
