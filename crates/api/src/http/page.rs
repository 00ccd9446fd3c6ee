//! Pages that mails link to: forms of our own, without any script, that nothing from elsewhere can get into.

use std::net::IpAddr;

use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, dev::Payload, http::StatusCode, web};
use askama::Template;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::{guards::CountedClient, problem::Problem};

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

/// The answer as it is, or a page that says what is wrong: these pages are seen in a browser.
pub(crate) fn shown(answer: Result<HttpResponse, Problem>) -> HttpResponse {
    answer.unwrap_or_else(|problem| {
        let trouble = Trouble { title: problem.title(), detail: problem.detail() };
        // Where even that cannot be shown, the problem itself is the answer.
        let page = page(problem.status_code(), &trouble).unwrap_or_else(|problem| problem.respond(None));
        problem.add_header_to(page)
    })
}

/// What a page is asked with behind the question mark; a problem where it cannot be read.
pub(crate) struct Asked<T>(pub(crate) Result<T, Problem>);

impl<T: DeserializeOwned> FromRequest for Asked<T> {
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let link = web::Query::<T>::from_query(request.query_string()).map(web::Query::into_inner);
        std::future::ready(Ok(Self(link.map_err(|_| Problem::bad_request("this link is damaged")))))
    }
}

/// A client of a page that asks the database; a problem where it asks too often.
pub(crate) struct CountedPage(pub(crate) Result<(), Problem>);

impl FromRequest for CountedPage {
    type Error = std::convert::Infallible;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Ok(Self(CountedClient::extract(&request).await.map(drop))) })
    }
}

/// What a page's form sends, and who sends it: counted before anything of the form is read.
pub(crate) struct Sent<T>(pub(crate) Result<(IpAddr, T), Problem>);

impl<T: DeserializeOwned + 'static> FromRequest for Sent<T> {
    type Error = std::convert::Infallible;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move { Ok(Self(sent(&request, payload).await)) })
    }
}

async fn sent<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    mut payload: Payload,
) -> Result<(IpAddr, T), Problem> {
    let CountedClient(client) = CountedClient::extract(request).await?;
    match web::Form::<T>::from_request(request, &mut payload).await {
        Ok(form) => Ok((client, form.into_inner())),
        Err(error) => Err(Problem::new(error.as_response_error().status_code(), "this is not what the form sends")),
    }
}

/// Whether a text can be none of our tokens.
pub(crate) fn is_no_token(text: &str) -> bool {
    text.is_empty() || text.len() > MAX_TOKEN
}
