//! Answers of cached routes: the bytes as they are, with `ETag` and `Cache-Status`.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, ETAG, HeaderName, IF_NONE_MATCH},
};
use examhall_cache::{Cached, Source};
use examhall_core::CacheKey;

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

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
