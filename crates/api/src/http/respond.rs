//! Answers as types, each with its status and headers; of cached routes the bytes as they are.

use std::marker::PhantomData;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder, Responder,
    body::BoxBody,
    http::{
        StatusCode,
        header::{
            ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
            LOCATION, VARY,
        },
    },
};
use bytes::Bytes;
use examhall_cache::{CacheKey, Cached, Coding, Source};
use examhall_store::FirstAnswer;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    cache_keys::json_form::JsonForm,
    openapi::{Answer, Description},
};

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// 200 with what something is now, and the `ETag` that it has now.
pub(crate) struct Tagged<T> {
    pub(crate) version: i64,
    pub(crate) body: T,
}

/// 201 with what was made.
pub(crate) struct Created<T> {
    /// Where it is from now on.
    pub(crate) location: String,
    pub(crate) body: T,
}

/// 201 with what was made, and the `ETag` that it has now.
pub(crate) struct CreatedTagged<T>(HttpResponse, PhantomData<T>);

/// 202: it is written down, and done soon.
pub(crate) struct Accepted<T>(pub(crate) T);

/// 204.
pub(crate) struct NoContent;

/// 200 with a `T` that is JSON already.
pub(crate) struct JsonBytes<T>(Bytes, PhantomData<T>);

/// What is in the cache, as it is there.
pub(crate) struct CacheAnswer<K>(HttpResponse, PhantomData<K>);

impl<T: Serialize + JsonForm> Responder for Tagged<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok().insert_header((ETAG, etag::<T>(self.version, ""))).json(self.body)
    }
}

impl<T: Serialize> Responder for Created<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Created().insert_header((LOCATION, self.location)).json(self.body)
    }
}

impl<T: Serialize + JsonForm> CreatedTagged<T> {
    pub(crate) fn new(location: String, version: i64, body: &T) -> Self {
        Self(created::<T>(location, version).json(body), PhantomData)
    }

    /// As the first request with this idempotency key was or will be answered.
    pub(crate) fn first(location: String, first: FirstAnswer) -> Self {
        let json = HeaderValue::from_static("application/json");
        Self(created::<T>(location, first.version).content_type(json).body(first.body), PhantomData)
    }
}

fn created<T: JsonForm>(location: String, version: i64) -> HttpResponseBuilder {
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, location)).insert_header((ETAG, etag::<T>(version, "")));
    response
}

impl<T> Responder for CreatedTagged<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.0
    }
}

impl<T: Serialize> Responder for Accepted<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Accepted().json(self.0)
    }
}

impl Responder for NoContent {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

impl<T> JsonBytes<T> {
    pub(crate) fn new(json: Bytes) -> Self {
        Self(json, PhantomData)
    }
}

impl<T> Responder for JsonBytes<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok().content_type(HeaderValue::from_static("application/json")).body(self.0)
    }
}

impl<T: JsonSchema> Answer for JsonBytes<T> {
    fn describe(description: &mut Description) {
        description.json::<T>(StatusCode::OK, &[]);
    }
}

impl<K> Responder for CacheAnswer<K> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.0
    }
}

impl<T: JsonSchema> Answer for Tagged<T> {
    fn describe(description: &mut Description) {
        description.json::<T>(StatusCode::OK, &["ETag"]);
    }
}

impl<T: JsonSchema> Answer for Created<T> {
    fn describe(description: &mut Description) {
        description.json::<T>(StatusCode::CREATED, &["Location"]);
    }
}

impl<T: JsonSchema> Answer for CreatedTagged<T> {
    fn describe(description: &mut Description) {
        description.json::<T>(StatusCode::CREATED, &["Location", "ETag"]);
    }
}

impl<T: JsonSchema> Answer for Accepted<T> {
    fn describe(description: &mut Description) {
        description.json::<T>(StatusCode::ACCEPTED, &[]);
    }
}

impl Answer for NoContent {
    fn describe(description: &mut Description) {
        description.answer(StatusCode::NO_CONTENT, &[]);
    }
}

impl<K: CacheKey<Value: JsonSchema>> Answer for CacheAnswer<K> {
    fn describe(description: &mut Description) {
        description.header("If-None-Match");
        description.json::<K::Value>(StatusCode::OK, &["ETag", "Cache-Status"]);
        description.answer(StatusCode::NOT_MODIFIED, &["ETag", "Cache-Status"]);
    }
}

/// Sends what the cache gave, compressed where the caller takes that; 304 where the caller has it already (RFC 9110,
/// section 13.1.2).
pub(crate) fn cached<K: CacheKey<Value: JsonForm>>(
    request: &HttpRequest,
    cached: &Cached<K>,
    source: Source,
) -> CacheAnswer<K> {
    CacheAnswer(cached_response(request, cached, source), PhantomData)
}

fn cached_response<K: CacheKey<Value: JsonForm>>(
    request: &HttpRequest,
    cached: &Cached<K>,
    source: Source,
) -> HttpResponse {
    let gzip = cached.compressed(Coding::Gzip).filter(|_| takes_gzip(request.headers()));
    let etag = etag::<K::Value>(cached.version(), if gzip.is_some() { "-gzip" } else { "" });
    let is_known = knows(request.headers(), &etag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, etag))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("private, no-cache")))
        .insert_header((VARY, HeaderValue::from_static("accept-encoding")))
        .insert_header((CACHE_STATUS, HeaderValue::from_static(status(source))));
    if is_known {
        return response.finish();
    }
    response.content_type(HeaderValue::from_static("application/json"));
    match gzip {
        Some(gzip) => response.insert_header((CONTENT_ENCODING, HeaderValue::from_static("gzip"))).body(gzip.clone()),
        None => response.body(cached.body().clone()),
    }
}

/// The version of the row, from the second form of the JSON on that form, and the coding: another tag for other bytes.
fn etag<T: JsonForm>(version: i64, coding: &str) -> String {
    match T::FORM {
        1 => format!("\"{version}{coding}\""),
        form => format!("\"{version}.{form}{coding}\""),
    }
}

const fn status(source: Source) -> &'static str {
    match source {
        Source::Local | Source::Redis => "examhall; hit",
        Source::Stale => "examhall; hit; detail=stale",
        Source::Loaded | Source::Bypass => "examhall; fwd=miss",
    }
}

/// By the weak comparison (RFC 9110, section 8.8.3.2): a proxy that compresses on its own makes our tags weak. Read in
/// place: actix's `IfNoneMatch` makes a string of each tag, on every cached read.
fn knows(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Whether gzip is named in `Accept-Encoding`, and not with `q=0` (RFC 9110, section 12.5.3). Actix's `AcceptEncoding` does
/// not know `x-gzip`, which means the same (section 8.4.1.3), and allocates.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    let (mut named, mut any) = (None, None);
    for one in lists.flat_map(|list| list.split(',')) {
        let mut parts = one.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|weight| weight.parse::<f32>().ok());
        let is_taken = weight.is_none_or(|weight| weight > 0.0);
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            named = Some(is_taken);
        } else if coding == "*" {
            any = Some(is_taken);
        }
    }
    named.or(any).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header's value"));
        headers
    }

    #[test]
    fn gzip_is_sent_to_clients_that_take_it() {
        let takes = |value| takes_gzip(&headers(ACCEPT_ENCODING, value));
        assert!(["gzip", "br, GZIP;q=0.5", "*", "deflate, *;q=0.1", "x-gzip"].into_iter().all(takes));
        assert!(!["", "br", "gzip;q=0", "gzip;q=0.0, *", "*;q=0", "identity"].into_iter().any(takes));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn tags_tell_forms_and_codings_apart() {
        struct First;
        struct Second;
        impl JsonForm for First {}
        impl JsonForm for Second {
            const FORM: u32 = 2;
        }
        assert_eq!([etag::<First>(7, ""), etag::<First>(7, "-gzip")], ["\"7\"", "\"7-gzip\""]);
        assert_eq!([etag::<Second>(7, ""), etag::<Second>(7, "-gzip")], ["\"7.2\"", "\"7.2-gzip\""]);
    }

    #[test]
    fn a_known_version_is_known_in_its_coding() {
        let knows = |value, etag| knows(&headers(IF_NONE_MATCH, value), etag);
        assert!(knows("\"9\", \"7\"", "\"7\"") && knows("*", "\"7\"") && knows("\"7-gzip\"", "\"7-gzip\""));
        assert!(knows("W/\"7\"", "\"7\""), "as a proxy between makes it");
        assert!(!knows("\"7-gzip\"", "\"7\"") && !knows("\"8\"", "\"7\""));
    }
}
