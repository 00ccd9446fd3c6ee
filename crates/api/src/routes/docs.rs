//! `/openapi.json`, and `/docs`: a page to try the API on, without anything from elsewhere.

use std::sync::LazyLock;

use actix_web::{HttpResponse, web};

use crate::openapi;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::document().to_string());
const PAGE: &str = include_str!("../../templates/docs/index.html");
const SCRIPT: &str = include_str!("../../templates/docs/try.js");
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::resource("/openapi.json").route(web::get().to(document)))
        .service(web::resource("/docs").route(web::get().to(page)))
        .service(web::resource("/docs/try.js").route(web::get().to(script)));
}

async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

async fn page() -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type("text/html; charset=utf-8").insert_header(("content-security-policy", POLICY)).body(PAGE)
}

async fn script() -> HttpResponse {
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(SCRIPT)
}
