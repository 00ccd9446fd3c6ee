//! What routes take from a request other than its body: its viewer, the id and the parameters of its address, `If-Match`.

use std::str::FromStr;

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, AUTHORIZATION, EntityTag, Header, IF_MATCH},
    },
    web,
};
use examhall_core::Viewer;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{faults::fault, problem::Problem};
use crate::{
    auth::{AccessTokens, Bearer},
    openapi::{Access, Description, Input},
    state::{State, now},
};

/// Who has logged in.
pub(crate) struct LoggedIn(pub(crate) Viewer);

impl FromRequest for LoggedIn {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(bearer(request).map(|bearer| Self(bearer.viewer)))
    }
}

/// Who has logged in, and in which session.
pub(crate) struct InSession(pub(crate) Bearer);

impl FromRequest for InSession {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(bearer(request).map(Self))
    }
}

impl Input for InSession {
    fn describe(description: &mut Description) {
        description.access(Access::User);
    }
}

impl Input for LoggedIn {
    fn describe(description: &mut Description) {
        description.access(Access::User);
    }
}

fn bearer(request: &HttpRequest) -> Result<Bearer, Problem> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| Problem::unauthorized("log in first, and send `Authorization: Bearer <accessToken>`"))?;
    let tokens = request
        .app_data::<web::Data<AccessTokens>>()
        .ok_or_else(|| Problem::internal(&"the application has no access tokens"))?;
    let bearer = tokens.check(token, now());
    let bearer = bearer.ok_or_else(|| Problem::unauthorized("this access token is not valid, or not any more"))?;
    if !request.method().is_safe() {
        let state = request.app_data::<web::Data<State>>();
        state.ok_or_else(|| Problem::internal(&"the application has no state"))?.limits.write(bearer.viewer)?;
    }
    Ok(bearer)
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

impl<T: JsonSchema> Input for Id<T> {
    fn describe(description: &mut Description) {
        description.path::<T>("id");
    }
}

/// The parameters in the query string.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for Parameters<T> {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(parameters(request.query_string()).map(Self))
    }
}

/// Reads the parameters in the query string.
pub(super) fn parameters<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let parsed = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
    parsed.map_err(|error| Problem::invalid(vec![fault(error.path(), &error.inner().to_string())]))
}

impl<T: JsonSchema> Input for Parameters<T> {
    fn describe(description: &mut Description) {
        description.query::<T>();
    }
}

/// The versions that a change expects, from `If-Match` (RFC 9110, section 13.1.1): the version parts of `ETag`s.
///
/// Without it, and with `*`, every version will do: the routes that take it change what is there only.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IfMatch(Option<Vec<i64>>);

impl IfMatch {
    /// What the change is to expect, where `current` is there now.
    pub(crate) fn expected(&self, current: i64) -> Result<Option<i64>, Problem> {
        match &self.0 {
            None => Ok(None),
            Some(versions) if versions.contains(&current) => Ok(Some(current)),
            Some(_) => Err(Problem::changed()),
        }
    }

    /// Whether any version will do.
    pub(crate) fn takes_any(&self) -> bool {
        self.0.is_none()
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if !request.headers().contains_key(IF_MATCH) {
            return std::future::ready(Ok(Self(None)));
        }
        let bad = || Problem::new(StatusCode::PRECONDITION_FAILED, "If-Match must hold ETags that this address gave");
        std::future::ready(match header::IfMatch::parse(request) {
            Ok(header::IfMatch::Any) => Ok(Self(None)),
            // One that no version has stands there for a reason: the change must not be made as if it did not.
            Ok(header::IfMatch::Items(tags)) => Ok(Self(Some(tags.iter().filter_map(version_of).collect()))),
            Err(_) => Err(bad()),
        })
    }
}

impl Input for IfMatch {
    fn describe(description: &mut Description) {
        description.header("If-Match");
        description.problem(StatusCode::PRECONDITION_FAILED);
    }
}

/// `"7"`, `"7-gzip"` and `"7.2"` (in the second form of its JSON) are all version 7; weak tags match nothing here.
fn version_of(tag: &EntityTag) -> Option<i64> {
    let plain = tag.tag().strip_suffix("-gzip").unwrap_or(tag.tag());
    let (version, form) = plain.split_once('.').unwrap_or((plain, "2"));
    // As we write it, and in no other spelling: "+7" and "07" are other tags.
    let is_ours = |number: &i64, text| number.to_string() == text;
    form.parse().ok().filter(|number: &i64| *number > 1 && is_ours(number, form))?;
    version.parse().ok().filter(|number: &i64| !tag.weak && is_ours(number, version))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn check<const N: usize>(lines: [&str; N], expected: impl Into<Option<Vec<i64>>>) {
        let request =
            lines.iter().fold(TestRequest::default(), |request, line| request.append_header((IF_MATCH, *line)));
        let parsed = IfMatch::extract(&request.to_http_request()).into_inner().expect("taken");
        assert_eq!(parsed, IfMatch(expected.into()), "{lines:?}");
    }

    #[test]
    fn an_etag_gives_its_version_whatever_its_coding() {
        check(["\"7\""], vec![7]);
        check(["\"7-gzip\""], vec![7]);
        check(["\"7.2\", \"8.13-gzip\""], vec![7, 8]);
        check([], None);
        check([" * "], None);
    }

    #[test]
    fn each_etag_of_a_list_counts() {
        check(["\"6\", \"7-gzip\" ,\"8\""], vec![6, 7, 8]);
        check(["\"6\"", "\"7\",,"], vec![6, 7]);
        check(["\"a,b\", \"7\", \"1,2\""], vec![7]);
        check(["\"x\", \"7\""], vec![7]);
    }

    #[test]
    fn what_is_no_tag_of_ours_matches_nothing() {
        for bad in [
            "",
            "7",
            "\"7",
            "7\"",
            "\"\"",
            "W/\"7\"",
            "w/\"7\"",
            "\"+7\"",
            "\"07\"",
            "\"7-br\"",
            "\"7.\"",
            "\"7.1\"",
            "\"7.02\"",
            "\"7.2.2\"",
            "\".2\"",
            "\"7-gzip-gzip\"",
            "'7'",
        ] {
            check([bad], vec![]);
        }
        check(["W/\"7\", \"8\""], vec![8]);
    }
}
