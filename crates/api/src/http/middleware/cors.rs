//! Which pages of other origins may call the API (Fetch standard, "CORS protocol").

use actix_cors::Cors;
use actix_web::http::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Lets pages of these origins call the API, and no others.
pub(crate) fn cors(origins: &[String]) -> Cors {
    let seen = [ETAG.as_str(), LOCATION.as_str(), RETRY_AFTER.as_str(), "cache-status", "x-request-id"];
    let cors = Cors::default()
        .allowed_methods(["GET", "POST", "PUT", "PATCH", "DELETE"])
        .allowed_headers([AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY_KEY])
        .expose_headers(seen)
        .block_on_origin_mismatch(false) // the browser keeps the answer from the page; other clients send no origin
        .max_age(3600);
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
