//! `Idempotency-Key`: a request that is sent again with its key changes nothing again.

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use examhall_core::UserId;
use examhall_store::IdempotentRequest;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::problem::Problem;
use crate::openapi::{Description, Input};

/// Longest key, in bytes.
const MAX_KEY: usize = 200;

/// What the header `Idempotency-Key` holds, if it is there.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl IdempotencyKey {
    /// Returns the request that is to be done once, if it has a key: `route` with the ids in it, and what is `asked` as it
    /// was understood. So it is the same request however its JSON is written.
    pub(crate) fn request(self, user: UserId, route: &str, asked: &Value) -> Option<IdempotentRequest> {
        let hash = digest(&SHA256, format!("{route}\n{asked}").as_bytes()).as_ref().to_vec();
        self.0.map(|key| IdempotentRequest { user, key, hash })
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut keys = request.headers().get_all("idempotency-key");
        let key = keys.next().map(|value| value.to_str().unwrap_or_default().trim());
        std::future::ready(match key {
            _ if keys.next().is_some() => Err(Problem::bad_request("Idempotency-Key must be given once")),
            Some(key) if key.is_empty() || key.len() > MAX_KEY => {
                Err(Problem::bad_request("Idempotency-Key must be 1 to 200 visible ASCII characters"))
            }
            key => Ok(Self(key.map(ToOwned::to_owned))),
        })
    }
}

impl Input for IdempotencyKey {
    fn describe(description: &mut Description) {
        description.header("Idempotency-Key");
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn parsed(lines: &[&[u8]]) -> Result<Option<String>, Problem> {
        let value = |line: &&[u8]| actix_web::http::header::HeaderValue::from_bytes(line).expect("a value");
        let request = lines
            .iter()
            .fold(TestRequest::default(), |request, line| request.append_header(("idempotency-key", value(line))));
        IdempotencyKey::extract(&request.to_http_request()).into_inner().map(|IdempotencyKey(key)| key)
    }

    #[test]
    fn a_key_is_1_to_200_visible_characters_given_once() {
        let long = "k".repeat(200);
        assert_eq!(parsed(&[]).expect("good"), None);
        assert_eq!(parsed(&[b" k1 "]).expect("good").as_deref(), Some("k1"));
        assert_eq!(parsed(&[long.as_bytes()]).expect("good"), Some(long.clone()));
        let too_long = long + "k";
        for bad in [&[b"".as_slice()] as &[&[u8]], &[b"  "], &[too_long.as_bytes()], &[b"k\xff"], &[b"a", b"b"]] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn another_route_or_body_is_another_request() {
        let hash = |route, asked: Value| {
            let key = IdempotencyKey(Some("k".into()));
            key.request(UserId(uuid::Uuid::nil()), route, &asked).expect("a request").hash
        };
        let first = hash("POST /exams", serde_json::json!(["a", 1]));
        assert_eq!(hash("POST /exams", serde_json::json!(["a", 1])), first);
        assert_ne!(hash("POST /exams", serde_json::json!(["a", 2])), first);
        assert_ne!(hash("POST /exams/1/questions", serde_json::json!(["a", 1])), first);
    }
}
