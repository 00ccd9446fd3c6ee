//! Errors as problem documents (RFC 9457).

use std::{
    borrow::Cow,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use examhall_cache::ReadError;
use examhall_core::{Admission, AttemptId};
use examhall_queue as queue;
use examhall_store as store;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// Seconds after which a caller should ask again where a dependency is away.
const RETRY_AFTER_SECONDS: &str = "2";

/// An outage of the database is logged at most once in this time.
const OUTAGE_LOG_SECONDS: u64 = 10;

/// Why a request was not done, for its sender.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Problem(Box<Document>);

/// Why a request was not done (RFC 9457).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Problem", example = json!({
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "some fields are not what they must be",
    "requestId": "018f4e3a-0000-7000-8000-000000000002",
    "errors": [{"pointer": "/title", "detail": "length is lower than 1"}],
}))]
pub(crate) struct Document {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: Cow<'static, str>,
    /// Names the request in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The attempt that is open, where a second is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_id: Option<AttemptId>,
    #[serde(skip)]
    header: Option<(HeaderName, HeaderValue)>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct FieldError {
    /// JSON Pointer (RFC 6901) into the request's body, or a parameter's name after a slash.
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Document {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            request_id: None,
            errors: Vec::new(),
            attempt_id: None,
            header: None,
        }))
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// There is no login, or it has expired.
    pub(crate) fn unauthorized(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail).with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// User and password are missing or wrong (RFC 7617).
    pub(crate) fn no_basic_login() -> Self {
        let scheme = HeaderValue::from_static("Basic realm=\"hooks\"");
        Self::new(StatusCode::UNAUTHORIZED, "user or password is wrong").with_header(WWW_AUTHENTICATE, scheme)
    }

    pub(crate) fn forbidden(detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(crate) fn conflict(detail: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// The student has begun this attempt, and not handed it in.
    fn attempt_open(id: AttemptId) -> Self {
        let mut problem = Self::conflict("another attempt of yours is open: hand it in first");
        problem.0.attempt_id = Some(id);
        match HeaderValue::from_str(&format!("/api/v1/attempts/{id}")) {
            Ok(location) => problem.with_header(LOCATION, location),
            Err(_) => problem,
        }
    }

    /// Not the version that `If-Match` asks for.
    pub(crate) fn changed() -> Self {
        let detail = "it was changed since you read it: read it again, then change it";
        Self::new(StatusCode::PRECONDITION_FAILED, detail)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this address")
    }

    /// Fields that are not what they must be.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "some fields are not what they must be");
        problem.0.errors = errors;
        problem
    }

    /// This in other words.
    pub(crate) fn saying(mut self, detail: &'static str) -> Self {
        self.0.detail = Cow::Borrowed(detail);
        self
    }

    /// What is wrong with a part of a body, as seen from the whole: pointers begin with `at`.
    pub(crate) fn under(mut self, at: &str) -> Self {
        for error in &mut self.0.errors {
            error.pointer.insert_str(0, at);
        }
        self
    }

    /// Two parts of a body, or everything that is wrong with either.
    pub(crate) fn both<A, B>(one: Result<A, Self>, other: Result<B, Self>) -> Result<(A, B), Self> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (Err(mut one), Err(other)) => {
                one.0.errors.extend(other.0.errors);
                Err(one)
            }
            (Err(problem), _) | (_, Err(problem)) => Err(problem),
        }
    }

    pub(crate) fn unavailable(detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .with_header(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS))
    }

    /// More than somebody may ask; not before `wait` has passed.
    pub(crate) fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).clamp(1, 86_400);
        let value = HeaderValue::from_str(&seconds.to_string()).unwrap_or(HeaderValue::from_static("60"));
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests: wait a little").with_header(RETRY_AFTER, value)
    }

    /// A mistake of ours: logged here, once; the answer says nothing of it.
    pub(crate) fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "Request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here; it has been noted")
    }

    /// An error of actix itself as a problem; one of ours as it is.
    pub(crate) fn of(error: &actix_web::Error) -> Self {
        error.as_error::<Self>().cloned().unwrap_or_else(|| {
            let status = error.as_response_error().status_code();
            if status.is_server_error() { Self::internal(error) } else { Self::new(status, error.to_string()) }
        })
    }

    /// Whether it is about the state of what is there: it has changed, or is gone.
    pub(crate) fn is_about_state(&self) -> bool {
        matches!(self.0.status, 404 | 409)
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Adds the header that belongs to the problem, such as `Retry-After`, to an answer.
    pub(crate) fn add_header_to(&self, mut response: HttpResponse) -> HttpResponse {
        if let Some((name, value)) = &self.0.header {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }

    /// The answer, with the id under which the log knows the request.
    pub(crate) fn respond(&self, request_id: Option<&str>) -> HttpResponse {
        let document = Document { request_id: request_id.map(ToOwned::to_owned), ..(*self.0).clone() };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = HttpResponse::build(self.status_code());
        self.add_header_to(response.content_type("application/problem+json").body(body))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.status, self.0.title, self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.respond(None)
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        Self::from(&error)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match (&error, error.of_loader::<store::Error>()) {
            (_, Some(error)) => Self::from(error),
            (ReadError::Crowded { retry_after }, _) => {
                let mut problem = Self::unavailable("too many ask for this at once");
                let seconds = u64::try_from(retry_after.as_millis().div_ceil(1000)).unwrap_or(1);
                problem.0.header = Some((RETRY_AFTER, HeaderValue::from(seconds)));
                problem
            }
            (ReadError::TooSlow(_), _) => Self::unavailable("the database takes too long"),
            (_, None) => Self::internal(&error),
        }
    }
}

impl From<&store::Error> for Problem {
    fn from(error: &store::Error) -> Self {
        match error {
            store::Error::NotFound => Self::not_found(),
            store::Error::VersionMismatch { .. } => Self::changed(),
            store::Error::NotOpen => Self::forbidden("the exam is not open"),
            store::Error::WrongState(why) => Self::conflict(why),
            store::Error::AttemptOpen(id) => Self::attempt_open(*id),
            store::Error::QuestionsLocked => Self::conflict(
                "students have begun this exam: its questions are locked; `?force=true` changes them all the same, and \
                 is recorded",
            ),
            store::Error::ExamLocked => Self::conflict(
                "students have begun this exam: its pass mark, its order and less time are locked; `?force=true` changes them \
                 all the same; every change is recorded",
            ),
            store::Error::BadWindow => {
                let detail = "must be after opensAt".to_owned();
                Self::invalid(vec![FieldError { pointer: "/closesAt".to_owned(), detail }])
            }
            store::Error::EmailTaken => Self::conflict("another account has this address"),
            store::Error::NoCode => {
                let detail = "must be given for an exam that is sat with a code".to_owned();
                Self::invalid(vec![FieldError { pointer: "/accessCode".to_owned(), detail }])
            }
            store::Error::NoSeat(Admission::Code) => {
                Self::forbidden("this exam asks for a code: exchange it for a seat first, at /exams/{id}/seat")
            }
            store::Error::NoSeat(_) => Self::forbidden("you are not on the roster of this exam"),
            store::Error::IdTaken => Self::conflict("a question of another exam has this id"),
            store::Error::KeyReused => {
                let detail = "this Idempotency-Key was used for another request";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            store::Error::ReadOnly => Self::unavailable("the database takes no changes for now"),
            store::Error::Unavailable(error) => {
                warn_of_outage(error);
                Self::unavailable(
                    "the database does not answer; if this was to change something, look whether it has before you ask again",
                )
            }
            other => Self::internal(other),
        }
    }
}

/// Logs why the database is away, at most once per [`OUTAGE_LOG_SECONDS`]: every request meets the same outage.
fn warn_of_outage(error: &dyn fmt::Display) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let last = LAST.load(Ordering::Relaxed);
    let is_due = now.abs_diff(last) >= OUTAGE_LOG_SECONDS;
    if is_due && LAST.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        tracing::warn!(%error, "Database not reached");
    } else {
        tracing::debug!(%error, "Database not reached");
    }
}

impl From<examhall_delivery::Error> for Problem {
    fn from(error: examhall_delivery::Error) -> Self {
        match error {
            examhall_delivery::Error::InFlight => Self::unavailable("the mail is still being sent"),
            examhall_delivery::Error::Redis(error) => {
                tracing::warn!(%error, "Redis not reached");
                Self::unavailable("Redis does not answer")
            }
            other => Self::internal(&other),
        }
    }
}

impl From<queue::Error> for Problem {
    fn from(error: queue::Error) -> Self {
        match error {
            // No job has an id that none can have.
            queue::Error::NotFound(_) | queue::Error::BadJobId { .. } => Self::not_found(),
            queue::Error::WrongState { .. } | queue::Error::Foreign(_) => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
            queue::Error::Redis(error) => {
                tracing::warn!(%error, "Redis not reached");
                Self::unavailable("the queue does not answer")
            }
            other => Self::internal(&other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_returns_503_with_retry_after() {
        let crowded = ReadError::Crowded { retry_after: Duration::from_millis(1_001) };
        let answer = Problem::from(crowded).respond(None);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers().get(RETRY_AFTER).expect("a header"), "2");
    }
}
