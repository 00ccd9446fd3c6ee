//! Pages that mails link to: forms of our own, without any script, that nothing from elsewhere can get into.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::problem::Problem;

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
