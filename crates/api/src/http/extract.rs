//! What routes take from a request: a checked body, and who sent it.

use std::{future::Future, pin::Pin, str::FromStr};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::{
        StatusCode,
        header::{AUTHORIZATION, IF_MATCH},
    },
    web,
};
use examhall_core::{Role, Viewer};
use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::{FieldError, Problem};
use crate::{auth::AccessTokens, state::now};

/// Largest body that is read, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// A JSON body whose every field is what it must be.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T> FromRequest for JsonBody<T>
where
    T: DeserializeOwned + Validate<Context = ()> + 'static,
{
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = request.content_type().eq_ignore_ascii_case("application/json");
        let body = web::Bytes::from_request(request, payload);
        Box::pin(async move {
            if !is_json {
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
            }
            parse(&body.await.map_err(|error| unreadable(&error))?).map(Self)
        })
    }
}

fn parse<T: DeserializeOwned + Validate<Context = ()>>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(&error.path().to_string());
        wrong(pointer, &error.into_inner())
    })?;
    json.end().map_err(|error| wrong(String::new(), &error))?;
    value.validate().map_err(|report| {
        let errors = report.into_inner().into_iter();
        Problem::invalid(
            errors
                .map(|(path, error)| FieldError {
                    pointer: camel_case(&pointer(&path.to_string())),
                    detail: error.to_string(),
                })
                .collect(),
        )
    })?;
    Ok(value)
}

/// 400 where the text is no JSON, 422 where the JSON is not what is asked for.
fn wrong(pointer: String, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        return Problem::bad_request(format!("the body is no JSON: {error}"));
    }
    let text = error.to_string();
    let detail = text.rsplit_once(" at line ").map_or(text.as_str(), |(detail, _)| detail).to_owned();
    // serde names these in its message only.
    let named = ["unknown field `", "missing field `"].iter().find_map(|begin| detail.strip_prefix(begin));
    let field = named.and_then(|rest| rest.split('`').next());
    let pointer = match field {
        Some(field) if !pointer.ends_with(&format!("/{field}")) => format!("{pointer}/{field}"),
        _ => pointer,
    };
    Problem::invalid(vec![FieldError { pointer, detail }])
}

/// `choices[0].text` as a JSON Pointer: `/choices/0/text`.
fn pointer(path: &str) -> String {
    let parts = path.split(['.', '[', ']']).filter(|part| !part.is_empty() && *part != "?");
    parts.fold(String::new(), |pointer, part| pointer + "/" + part)
}

/// garde names fields as Rust does: `pass_mark`; the body as JSON does: `passMark`.
fn camel_case(pointer: &str) -> String {
    let mut parts = pointer.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        let mut letters = part.chars();
        name + &letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter().collect::<String>()
            + letters.as_str()
    })
}

fn unreadable(error: &actix_web::Error) -> Problem {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {MAX_BODY} bytes"))
        }
        _ => Problem::bad_request("the body could not be read to its end"),
    }
}

/// Who has logged in.
pub(crate) struct LoggedIn(pub(crate) Viewer);

impl FromRequest for LoggedIn {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(viewer(request).map(Self))
    }
}

/// An administrator who has logged in.
pub(crate) struct Admin(pub(crate) Viewer);

impl FromRequest for Admin {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(match viewer(request) {
            Ok(viewer) if viewer.role == Role::Admin => Ok(Self(viewer)),
            Ok(_) => Err(Problem::forbidden("only administrators may do this")),
            Err(problem) => Err(problem),
        })
    }
}

fn viewer(request: &HttpRequest) -> Result<Viewer, Problem> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| Problem::unauthorized("log in first, and send `Authorization: Bearer <accessToken>`"))?;
    let tokens = request
        .app_data::<web::Data<AccessTokens>>()
        .ok_or_else(|| Problem::internal(&"the application has no access tokens"))?;
    tokens.check(token, now()).ok_or_else(|| Problem::unauthorized("this access token is not valid, or not any more"))
}

/// The id that the address names. What is no id is the id of nothing: 404.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr> FromRequest for Id<T> {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").and_then(|text| text.parse().ok());
        std::future::ready(id.map(Self).ok_or_else(Problem::not_found))
    }
}

/// What stands behind the question mark.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for Parameters<T> {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parsed = web::Query::<T>::from_query(request.query_string());
        std::future::ready(parsed.map(|query| Self(query.into_inner())).map_err(|error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the parameters behind the question mark: {error}"))
        }))
    }
}

/// The version that a change expects, from `If-Match` (RFC 9110, section 13.1.1): the version part of the `ETag`.
pub(crate) struct IfMatch(pub(crate) Option<i64>);

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header = request.headers().get(IF_MATCH).and_then(|value| value.to_str().ok());
        std::future::ready(match header.map(str::trim) {
            None | Some("*") => Ok(Self(None)),
            Some(etag) => version_of(etag).map(|version| Self(Some(version))).ok_or_else(|| {
                Problem::new(StatusCode::PRECONDITION_FAILED, "If-Match must be an ETag that this address gave")
            }),
        })
    }
}

/// `"7"` and `"7-gzip"` are both version 7.
fn version_of(etag: &str) -> Option<i64> {
    etag.strip_prefix('"')?.strip_suffix('"')?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[garde(length(min = 2))]
        name: String,
        #[garde(dive)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[garde(range(min = 1))]
        count: u32,
    }

    fn check(body: &str, status: u16, pointers: &[&str]) {
        let problem = serde_json::to_value(parse::<Body>(body.as_bytes()).expect_err("must be refused")).expect("JSON");
        assert_eq!(problem["status"], status, "{body}: {problem}");
        let errors = problem["errors"].as_array().into_iter().flatten();
        let mut found: Vec<_> = errors.filter_map(|error| error["pointer"].as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, pointers, "{body}: {problem}");
    }

    #[test]
    fn a_body_that_is_no_json_is_400() {
        check("", 400, &[]);
        check("{", 400, &[]);
        check(r#"{"name":"ab","items":[]} x"#, 400, &[]);
    }

    #[test]
    fn a_body_that_is_not_what_is_asked_for_is_422_and_points_at_the_field() {
        check(r#"{"name":7,"items":[]}"#, 422, &["/name"]);
        check(r#"{"items":[]}"#, 422, &["/name"]);
        check(r#"{"name":"ab","items":[],"x":1}"#, 422, &["/x"]);
        check(r#"{"name":"ab","items":[{"count":1},{"count":"2"}]}"#, 422, &["/items/1/count"]);
        check(r#"{"name":"ab","items":[{}]}"#, 422, &["/items/0/count"]);
        check(r#"{"name":"ab","items":[{"count":1,"y":2}]}"#, 422, &["/items/0/y"]);
        check("[]", 422, &[""]);
    }

    #[test]
    fn every_field_over_a_limit_is_named_at_once() {
        check(r#"{"name":"a","items":[{"count":1},{"count":0}]}"#, 422, &["/items/1/count", "/name"]);
    }

    #[test]
    fn an_etag_gives_its_version_whatever_its_coding() {
        assert_eq!((version_of("\"7\""), version_of("\"7-gzip\"")), (Some(7), Some(7)));
        assert_eq!((version_of("7"), version_of("\"x\""), version_of("W/\"7\"")), (None, None, None));
    }
}
