//! Sessions: a token in a cookie that only this host can set and no script can read.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    http::header::{COOKIE, HeaderMap, HeaderValue},
};
use examhall_core::Timestamp;
use examhall_store::ConsoleSession;

use crate::{
    auth::SecretToken,
    http::problem::Problem,
    state::{State, now},
};

/// How long a session lasts without use.
pub(super) const IDLE: Duration = Duration::from_mins(30);
/// How long it lasts at most.
const LONGEST: Duration = Duration::from_hours(12);
/// A session that was extended sooner than that ago is not extended again: a write for each click would be many.
const EXTEND_AFTER: Duration = Duration::from_mins(1);
/// Browsers take a cookie of this name from its own host only, over TLS (or from localhost), and for all paths.
const SESSION: &str = "__Host-console";
/// What the next page is to say.
const NOTICE: &str = "__Host-notice";

/// The cookie that begins a session.
pub(super) fn begin_cookie(token: &SecretToken) -> HeaderValue {
    cookie(SESSION, token.as_str(), LONGEST)
}

/// The cookie that ends it in the browser.
pub(super) fn end_cookie() -> HeaderValue {
    cookie(SESSION, "", Duration::ZERO)
}

/// The cookie that holds what the next page is to say; without a text it is removed.
pub(super) fn notice_cookie(text: &str) -> HeaderValue {
    cookie(NOTICE, text, if text.is_empty() { Duration::ZERO } else { Duration::from_mins(1) })
}

/// What the page before wanted this one to say.
pub(super) fn notice_of(headers: &HeaderMap) -> Option<&str> {
    value_of(headers, NOTICE).filter(|text| !text.is_empty())
}

/// The token of a request.
pub(super) fn token_of(request: &HttpRequest) -> Option<SecretToken> {
    value_of(request.headers(), SESSION).map(|token| SecretToken::from_text(token.to_owned()))
}

/// The session of a request. A page that is looked at is used; one that refreshes itself (`HX-Request`) is not.
pub(super) async fn find(state: &State, request: &HttpRequest) -> Result<ConsoleSession, Problem> {
    let over = || Problem::unauthorized("log in first");
    let token = token_of(request).ok_or_else(over)?;
    let now = now();
    let session = state.store.accounts.console_session(&token.hash(), now).await?.ok_or_else(over)?;
    let next = extended(&session, now);
    if let Some(next) = next.filter(|_| !is_refresh(request.headers())) {
        state.store.accounts.extend_console_session(&token.hash(), next).await?;
    }
    Ok(session)
}

/// Whether a page asks for a part of itself.
pub(super) fn is_refresh(headers: &HeaderMap) -> bool {
    headers.contains_key("hx-request")
}

/// When a session ends that is used now, if that is worth a write.
fn extended(session: &ConsoleSession, now: Timestamp) -> Option<Timestamp> {
    let next = now.plus(IDLE).min(session.began_at.plus(LONGEST));
    (session.expires_at.plus(EXTEND_AFTER) <= next).then_some(next)
}

fn cookie(name: &str, value: &str, life: Duration) -> HeaderValue {
    let seconds = life.as_secs();
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    // Tokens and notices are base64url.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// The value of a cookie (RFC 6265, section 4.2.1), if it is sent once: a second one was set by somebody else.
fn value_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn a_cookie_is_found_among_others_and_only_once() {
        let found = |lines: &[&'static str]| value_of(&headers(lines), SESSION).map(ToOwned::to_owned);
        assert_eq!(found(&["a=1; __Host-console=x-Y_9; b=2"]).as_deref(), Some("x-Y_9"));
        assert_eq!(found(&["a=1", "__Host-console=x"]).as_deref(), Some("x"));
        assert_eq!(found(&["__Host-console=x; __Host-console=y"]), None);
        for other in ["", "console=x", "x__Host-console=x", "__host-console=x", "__Host-console"] {
            assert_eq!(value_of(&[(COOKIE, HeaderValue::from_static(other))].into_iter().collect(), SESSION), None);
        }
    }

    #[test]
    fn a_session_is_extended_by_use_and_ends_all_the_same() {
        let began = Timestamp::from_millis(1_795_424_400_000);
        let at = |minutes: u64| began.plus(Duration::from_mins(minutes));
        for (expires, now, expected) in [
            (30, 0, None),
            (30, 1, Some(31)),
            (30, 29, Some(59)),
            (30, 30, Some(60)),
            (700, 689, Some(719)),
            (715, 699, Some(720)),
            (720, 719, None),
        ] {
            let session = ConsoleSession { account: account(), began_at: began, expires_at: at(expires) };
            assert_eq!(extended(&session, at(now)), expected.map(at), "{expires} {now}");
        }
    }

    fn account() -> examhall_store::Account {
        examhall_store::Account {
            id: examhall_core::UserId(uuid::Uuid::nil()),
            email: examhall_core::EmailAddress::from_stored("a@b.c"),
            name: String::new(),
            password_hash: String::new(),
            role: examhall_core::Role::Admin,
            verified: true,
            created_at: Timestamp::from_millis(0),
            access_generation: 0,
            locale: None,
            result_mails: true,
            locked_at: None,
            deleted_at: None,
        }
    }
}
