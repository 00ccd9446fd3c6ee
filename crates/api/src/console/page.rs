//! The frame of every page: `console/base.html`, and what it shows.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
};
use askama::Template;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_core::{Role, Timestamp};
use examhall_store::Account;
use serde::{Deserialize, Serialize};

use super::{
    format,
    nav::{self, NavItem},
    session,
};
use crate::{http::problem::Problem, site::Site, state::now};

/// What the frame of a page shows.
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) site: Arc<Site>,
    /// Absent on pages for everybody, such as the login.
    pub(crate) who: Option<Who>,
    /// What has happened before.
    pub(crate) notice: Option<Notice>,
    /// Whether the page shows news as they come.
    pub(crate) is_live: bool,
    /// Whether a page that is shown asks for its newer content: then there is no frame.
    pub(crate) is_part: bool,
    /// Path and query of the page.
    pub(crate) url: String,
    /// Path without the query, as our routes name it.
    route: String,
    now: Timestamp,
}

/// Who is logged in.
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    of: Role,
}

/// What a page says of what has happened before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) kind: NoticeKind,
    pub(crate) text: String,
}

/// How it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NoticeKind {
    /// All was done.
    Good,
    /// Not all of it.
    Warn,
    /// Nothing.
    Bad,
}

impl std::fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        })
    }
}

impl Notice {
    /// Longest text, in characters: cookies are at most 4 KB.
    const MAX: usize = 500;

    pub(crate) fn new(kind: NoticeKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into().chars().take(Self::MAX).collect() }
    }

    /// As a cookie's value.
    pub(super) fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(value: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(value).ok()?).ok()
    }
}

impl Page {
    /// The frame of a page for somebody who is logged in.
    pub(super) fn of(site: &Arc<Site>, title: String, account: &Account, request: &HttpRequest) -> Self {
        let who = Who { name: account.name.clone(), role: account.role.as_str(), of: account.role };
        let url = request.uri().path_and_query().map_or("/console", |uri| uri.as_str());
        Self {
            who: Some(who),
            is_part: session::is_refresh(request.headers()),
            url: site.path(url),
            route: request.path().to_owned(),
            ..Self::plain(site, title).with_notice(request)
        }
    }

    /// The frame of a page for everybody.
    pub(super) fn plain(site: &Arc<Site>, title: String) -> Self {
        Self {
            title,
            site: Arc::clone(site),
            who: None,
            notice: None,
            is_live: false,
            is_part: false,
            url: String::new(),
            route: String::new(),
            now: now(),
        }
    }

    /// The page says what the one before wanted it to say.
    pub(super) fn with_notice(self, request: &HttpRequest) -> Self {
        let notice = session::notice_of(request.headers()).and_then(Notice::decode);
        Self { notice, ..self }
    }

    /// The page shows news as they come.
    #[must_use]
    pub(crate) fn live(self) -> Self {
        Self { is_live: true, ..self }
    }

    /// The path that browsers know one of our paths by.
    pub(crate) fn path(&self, path: &str) -> String {
        self.site.path(path)
    }

    /// The path of a file in `assets`.
    pub(crate) fn asset(&self, name: &str) -> String {
        self.site.path(&self.site.assets.path(name))
    }

    /// The links in the head.
    pub(crate) fn nav(&self) -> Vec<NavItem> {
        self.who.as_ref().map(|who| nav::items(who.of, &self.route)).unwrap_or_default()
    }

    /// A moment as HTML: in UTC, and how long ago. Takes `|safe` in templates.
    pub(crate) fn time(&self, at: impl std::borrow::Borrow<Timestamp>) -> String {
        format::time(*at.borrow(), self.now)
    }
}

/// The answer that shows a page. Every template of a page has a field `page`.
pub(crate) fn html(page: &Page, template: &impl Template) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::Ok();
    if page.notice.is_some() {
        response.insert_header((SET_COOKIE, session::notice_cookie("")));
    }
    body(response, template)
}

/// The answer to a form: back to a page of ours (`/console/...`), which says what has happened.
pub(crate) fn answer(to: &str, notice: &Notice) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, to))
        .insert_header((SET_COOKIE, session::notice_cookie(&notice.encode())))
        .finish()
}

/// The same with another status.
pub(super) fn html_with(status: StatusCode, template: &impl Template) -> Result<HttpResponse, Problem> {
    body(HttpResponse::build(status), template)
}

fn body(mut response: HttpResponseBuilder, template: &impl Template) -> Result<HttpResponse, Problem> {
    let text = template.render().map_err(|error| Problem::internal(&error))?;
    Ok(response.content_type("text/html; charset=utf-8").body(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_survives_its_cookie() {
        let notice = Notice::new(NoticeKind::Warn, "97 of 100 <b>; é");
        assert_eq!(Notice::decode(&notice.encode()), Some(notice));
        assert!(Notice::new(NoticeKind::Bad, "é".repeat(9000)).encode().len() < 2000);
        assert_eq!(Notice::decode("not base64!"), None);
    }
}
