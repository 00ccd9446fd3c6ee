//! Answers of cached routes: the bytes as they are, with `ETag` and `Cache-Status`.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::header::{CACHE_CONTROL, ETAG, HeaderName, IF_NONE_MATCH, LOCATION},
};
use examhall_cache::{Cached, Source};
use examhall_core::CacheKey;
use serde::Serialize;

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What was changed, with the `ETag` that it has now.
pub(crate) fn versioned<T: Serialize>(mut response: HttpResponseBuilder, version: i64, body: &T) -> HttpResponse {
    response.insert_header((ETAG, format!("\"{version}\""))).json(body)
}

/// 201, with where it stands from now on.
pub(crate) fn created<T: Serialize>(location: String, version: Option<i64>, body: &T) -> HttpResponse {
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, location));
    if let Some(version) = version {
        response.insert_header((ETAG, format!("\"{version}\"")));
    }
    response.json(body)
}

/// Sends what the cache gave; 304 where the caller has it already (RFC 9110, section 13.1.2).
pub(crate) fn cached<K: CacheKey>(request: &HttpRequest, cached: Cached<K>, source: Source) -> HttpResponse {
    let etag = format!("\"{}\"", cached.version);
    let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let is_known =
        known.flat_map(|list| list.split(',')).any(|one| matches!(one.trim(), tag if tag == etag || tag == "*"));
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, etag)).insert_header((CACHE_CONTROL, "private, no-cache")).insert_header((
        CACHE_STATUS,
        match source {
            Source::Hit => "examhall; hit",
            Source::Miss => "examhall; fwd=miss",
        },
    ));
    if is_known { response.finish() } else { response.content_type("application/json").body(cached.body) }
}
