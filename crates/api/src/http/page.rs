//! Pages that mails link to: forms of our own, without any script, that nothing from elsewhere can get into.

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, ResponseError,
    dev::Payload,
    http::{Method, StatusCode},
    web,
};
use askama::Template;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Longer than any token of ours.
const MAX_TOKEN: usize = 200;

/// The answer that shows `page`.
pub(crate) fn page(status: StatusCode, page: &impl Template) -> Result<HttpResponse, Problem> {
    let html = page.render().map_err(|error| Problem::internal(&error))?;
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header(("referrer-policy", "no-referrer")) // the address holds the token
        .insert_header((
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ))
        .body(html))
}

#[derive(Template)]
#[template(path = "pages/trouble.html")]
struct Trouble<'a> {
    title: &'a str,
    detail: &'a str,
}

/// The answer as it is, or a page that says what is wrong: whoever sees these pages sees them in a browser.
pub(crate) fn shown(answer: Result<HttpResponse, Problem>) -> HttpResponse {
    answer.unwrap_or_else(|problem| {
        let trouble = Trouble { title: problem.title(), detail: problem.detail() };
        // Where even that cannot be shown, the problem itself is the answer.
        let page = page(problem.status_code(), &trouble).unwrap_or_else(|problem| problem.respond(None));
        problem.add_header_to(page)
    })
}

/// What a page is asked with, behind the question mark or as a form; a problem where it cannot be read.
pub(crate) struct Asked<T>(pub(crate) Result<T, Problem>);

impl<T: DeserializeOwned + 'static> FromRequest for Asked<T> {
    type Error = std::convert::Infallible;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if request.method() == Method::GET {
            let link = web::Query::<T>::from_query(request.query_string());
            let link = link.map(web::Query::into_inner).map_err(|_| Problem::bad_request("this link is damaged"));
            return Box::pin(std::future::ready(Ok(Self(link))));
        }
        let form = web::Form::<T>::from_request(request, payload);
        Box::pin(async move {
            let unreadable = |error: actix_web::Error| {
                Problem::new(error.as_response_error().status_code(), "this is not what the form sends")
            };
            Ok(Self(form.await.map(web::Form::into_inner).map_err(unreadable)))
        })
    }
}

/// Whether a text can be none of our tokens.
pub(crate) fn is_no_token(text: &str) -> bool {
    text.is_empty() || text.len() > MAX_TOKEN
}
