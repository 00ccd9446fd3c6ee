//! What routes take from a request beside its body: who sent it, the id and the parameters of its address, `If-Match`.

use std::str::FromStr;

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{
        StatusCode,
        header::{AUTHORIZATION, IF_MATCH},
    },
    web,
};
use examhall_core::{Role, Viewer};
use serde::de::DeserializeOwned;

use super::{faults::fault, problem::Problem};
use crate::{auth::AccessTokens, state::now};

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
        let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
        let parsed = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
        std::future::ready(
            parsed.map(Self).map_err(|error| Problem::invalid(vec![fault(error.path(), &error.inner().to_string())])),
        )
    }
}

/// The version that a change expects, from `If-Match` (RFC 9110, section 13.1.1): the version part of the `ETag`.
pub(crate) struct IfMatch(pub(crate) Option<i64>);

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let given: Vec<_> = request.headers().get_all(IF_MATCH).map(|value| value.to_str().map(str::trim)).collect();
        let bad = || Problem::new(StatusCode::PRECONDITION_FAILED, "If-Match must be an ETag that this address gave");
        std::future::ready(match given[..] {
            [] | [Ok("*")] => Ok(Self(None)),
            [Ok(etag)] => version_of(etag).map(|version| Self(Some(version))).ok_or_else(bad),
            _ => Err(bad()), // it stands there for a reason: the change must not be made as if it did not
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

    #[test]
    fn an_etag_gives_its_version_whatever_its_coding() {
        assert_eq!((version_of("\"7\""), version_of("\"7-gzip\"")), (Some(7), Some(7)));
        assert_eq!((version_of("7"), version_of("\"x\""), version_of("W/\"7\"")), (None, None, None));
    }
}
