//! What every page shows of this installation, and what protects the pages.

use examhall_boot::settings::{ApiSettings, AppEnv};
use url::Url;

use crate::{assets::Assets, http::public_path::PublicPath};

/// What every page shows of this installation.
pub(crate) struct Site {
    /// `BRAND_NAME`.
    pub(crate) name: String,
    /// `BRAND_LOGO_URL`.
    pub(crate) logo_url: Option<String>,
    /// Whether there is a console.
    pub(crate) has_console: bool,
    /// Whether `APP_ENV` is development.
    pub(crate) is_development: bool,
    /// The files that pages load.
    pub(crate) assets: Assets,
    /// The path of `PUBLIC_URL`, without a slash at its end.
    prefix: String,
    /// Scheme, host and port of `PUBLIC_URL`.
    origin: String,
    policy: String,
}

impl Site {
    pub(crate) fn new(settings: &ApiSettings) -> Self {
        let public_path = PublicPath::of(&settings.public_url);
        Self {
            name: settings.brand.name.clone(),
            logo_url: settings.brand.logo_url.as_ref().map(Url::to_string),
            has_console: settings.console,
            is_development: settings.env == AppEnv::Development,
            assets: Assets::new(settings.brand.color),
            prefix: public_path.root().trim_end_matches('/').to_owned(),
            origin: settings.public_url.origin().ascii_serialization(),
            policy: policy(settings.brand.logo_url.as_ref()),
        }
    }

    /// The path that clients know one of our paths by.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// `Content-Security-Policy` of pages: everything is from here, but for the logo; nothing is inline, nothing frames.
    pub(crate) fn policy(&self) -> &str {
        &self.policy
    }

    /// The same for a page that shows previews in frames.
    pub(crate) fn policy_with_frames(&self) -> String {
        format!("{}; frame-src 'self'", self.policy)
    }

    /// Whether a request that changes something was sent by a page of ours: what the browser says of it
    /// (`Sec-Fetch-Site`), or else the origin of the page, which old browsers send.
    pub(crate) fn is_own_write(&self, fetch_site: Option<&str>, origin: Option<&str>, host: Option<&str>) -> bool {
        let host_of = |origin: &str| origin.split_once("://").map(|(_, host)| host.to_owned());
        match (fetch_site, origin) {
            (Some(site), _) => site == "same-origin",
            (None, Some(origin)) => origin == self.origin || (host.is_some() && host_of(origin).as_deref() == host),
            (None, None) => false,
        }
    }
}

fn policy(logo: Option<&Url>) -> String {
    let logo = logo.map(|url| format!(" {}", url.origin().ascii_serialization())).unwrap_or_default();
    format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:{logo}; connect-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site {
            name: String::new(),
            logo_url: None,
            has_console: true,
            is_development: true,
            assets: Assets::new([0; 3]),
            prefix: "/exams".to_owned(),
            origin: "https://h.example".to_owned(),
            policy: policy(Some(&"https://cdn.example/a.png".parse().expect("a URL"))),
        }
    }

    #[test]
    fn only_writes_of_own_pages_are_taken() {
        let (own, other) = (Some("https://h.example"), Some("https://evil.example"));
        for (fetch_site, origin, expected) in [
            (Some("same-origin"), own, true),
            (Some("same-origin"), None, true),
            (Some("same-origin"), Some("null"), true),
            (Some("same-site"), own, false),
            (Some("cross-site"), own, false),
            (Some("none"), own, false),
            (Some(""), own, false),
            (None, own, true),
            (None, Some("http://inside:8000"), true),
            (None, Some("http://inside:8001"), false),
            (None, other, false),
            (None, Some("null"), false),
            (None, Some(""), false),
            (None, None, false),
        ] {
            let found = site().is_own_write(fetch_site, origin, Some("inside:8000"));
            assert_eq!(found, expected, "{fetch_site:?} {origin:?}");
        }
        assert!(!site().is_own_write(None, other, None));
    }

    #[test]
    fn nothing_inline_is_allowed() {
        let site = site();
        assert!(!site.policy().contains("unsafe"));
        assert!(site.policy().contains("img-src 'self' data: https://cdn.example;"));
        assert_eq!(site.path("/console"), "/exams/console");
    }
}
