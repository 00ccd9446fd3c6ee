//! A request's body: JSON whose every field is what it must be.

use std::{pin::Pin, time::Duration};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, error::PayloadError, http::StatusCode, web};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::error::Category;

use super::{
    faults::{all, violations},
    object::Object,
    problem::Problem,
};

use crate::openapi::{Description, Input};

/// Largest body that is read, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// How long a client may take to send it: less than a request may take, so that who is slow is told so.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A JSON body whose every field is what it must be.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T> FromRequest for JsonBody<T>
where
    T: DeserializeOwned + Validate<Context = ()> + JsonSchema + 'static,
{
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = request.content_type().eq_ignore_ascii_case("application/json");
        let body = bytes(request, payload);
        Box::pin(async move {
            if !is_json {
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
            }
            parse(&body.await?).map(Self)
        })
    }
}

impl<T: JsonSchema> Input for JsonBody<T> {
    fn describe(description: &mut Description) {
        description.body::<T>();
    }
}

/// A JSON body that may be absent: then each of its fields is.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T> FromRequest for OptionalBody<T>
where
    T: Default + DeserializeOwned + Validate<Context = ()> + JsonSchema + 'static,
{
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = request.content_type().eq_ignore_ascii_case("application/json");
        let body = bytes(request, payload);
        Box::pin(async move {
            let body = body.await?;
            if body.is_empty() {
                return Ok(Self(T::default())); // some clients name a type all the same
            }
            if !is_json {
                return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
            }
            parse(&body).map(Self)
        })
    }
}

impl<T: JsonSchema> Input for OptionalBody<T> {
    fn describe(description: &mut Description) {
        description.optional_body::<T>();
    }
}

/// The body's bytes, whatever their type.
pub(crate) fn bytes(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<web::Bytes, Problem>> + 'static {
    let body = tokio::time::timeout(TIMEOUT, web::Bytes::from_request(request, payload));
    async move {
        let body = body.await.map_err(|_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {TIMEOUT:?}"))
        })?;
        body.map_err(|error| unreadable(&error))
    }
}

/// 400 where the text is no JSON, 422 where the JSON is not what is asked for.
pub(crate) fn parse<T>(body: &[u8]) -> Result<T, Problem>
where
    T: DeserializeOwned + Validate<Context = ()> + JsonSchema,
{
    let mut json = serde_json::Deserializer::from_slice(body);
    let no_json = |error: &serde_json::Error| Problem::bad_request(format!("the body is no JSON: {error}"));
    let value: T = match Object::deserialize(&mut json) {
        Ok(Object(value)) => value,
        Err(error) if error.classify() == Category::Data => return Err(Problem::invalid(all::<T>(body))),
        Err(error) => return Err(no_json(&error)),
    };
    json.end().map_err(|error| no_json(&error))?;
    checked(value)
}

/// What keeps its limits, or every one that it exceeds.
pub(crate) fn checked<T: Validate<Context = ()>>(value: T) -> Result<T, Problem> {
    let violations = violations(&value);
    if violations.is_empty() { Ok(value) } else { Err(Problem::invalid(violations)) }
}

fn unreadable(error: &actix_web::Error) -> Problem {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {MAX_BODY} bytes"))
        }
        _ => Problem::bad_request("the body could not be read to its end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::object::objects;

    #[derive(Debug, Deserialize, Validate, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Body {
        #[garde(length(min = 2))]
        name: String,
        #[garde(dive)]
        #[serde(deserialize_with = "objects")]
        items: Vec<Item>,
        #[garde(inner(range(max = 100)))]
        pass_mark: Option<u8>,
    }

    #[derive(Debug, Deserialize, Validate, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[garde(range(min = 1))]
        count: u32,
    }

    fn refused(body: &str) -> serde_json::Value {
        serde_json::to_value(parse::<Body>(body.as_bytes()).expect_err("must be refused")).expect("JSON")
    }

    fn check(body: &str, status: u16, pointers: &[&str]) {
        let problem = refused(body);
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
    fn a_wrong_body_is_422_and_points_at_the_field() {
        check(r#"{"name":7,"items":[]}"#, 422, &["/name"]);
        check(r#"{"items":[]}"#, 422, &["/name"]);
        check(r#"{"name":"ab","items":[],"x":1}"#, 422, &["/x"]);
        check(r#"{"name":"ab","items":[],"x.y/z":1}"#, 422, &["/x.y~1z"]);
        check(r#"{"name":"ab","items":[{"count":1},{"count":"2"}]}"#, 422, &["/items/1/count"]);
        check(r#"{"name":"ab","items":[{}]}"#, 422, &["/items/0/count"]);
        check(r#"{"name":"ab","items":[{"count":1,"y":2}]}"#, 422, &["/items/0/y"]);
        check(r#"{"name":"ab","name":"cd","items":[]}"#, 422, &["/name"]);
        check("[]", 422, &[""]);
        check("null", 422, &[""]);
    }

    #[test]
    fn an_array_of_the_fields_values_is_no_object() {
        check(r#"["ab",[],null]"#, 422, &[""]);
        check(r#"{"name":"ab","items":[{"count":1},[2]]}"#, 422, &["/items/1"]);
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        check("{}", 422, &["/items", "/name"]);
        check(r#"{"name":7,"items":{},"passMark":"x","y":1}"#, 422, &["/items", "/name", "/passMark", "/y"]);
        check(
            r#"{"name":7,"items":[{"count":0},{}],"passMark":101}"#,
            422,
            &["/items/0/count", "/items/1/count", "/name", "/passMark"],
        );
        check(r#"{"name":"a","items":[{"count":1},{"count":0}]}"#, 422, &["/items/1/count", "/name"]);
    }

    #[test]
    fn the_faults_of_a_large_or_very_wrong_body_are_bounded() {
        let many = |items: usize| format!(r#"{{"name":"ab","items":[{}{{}}]}}"#, "{},".repeat(items));
        assert_eq!(refused(&many(100))["errors"].as_array().map(Vec::len), Some(20));
        assert_eq!(refused(&many(100_000))["errors"].as_array().map(Vec::len), Some(20));
    }

    #[test]
    fn what_is_wrong_is_said_in_words_of_json() {
        let detail = |body: &str| refused(body)["errors"][0]["detail"].as_str().expect("text").to_owned();
        assert_eq!(detail("[]"), "invalid type: array, expected an object");
        assert_eq!(detail(r#"{"name":{},"items":[]}"#), "invalid type: object, expected a string");
        let count = detail(r#"{"name":"ab","items":[{"count":1.5}]}"#);
        assert_eq!(count, "invalid type: number `1.5`, expected a whole number");
        let long = detail(&format!(r#"{{"name":"ab","items":"{}"}}"#, "ü".repeat(1000)));
        assert_eq!(long.chars().count(), 303, "what was sent is not sent back whole");
    }
}
