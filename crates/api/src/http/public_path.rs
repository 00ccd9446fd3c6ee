//! The path of `PUBLIC_URL`: a proxy removes it before it passes a request on.

use actix_web::http::header::{HeaderMap, HeaderValue, LOCATION};
use url::Url;

/// What clients see before the paths of our routes: `/exams`, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicPath(String);

impl PublicPath {
    pub(crate) fn of(public_url: &Url) -> Self {
        Self(public_url.path().trim_end_matches('/').to_owned())
    }

    /// The path under which our routes stand, as a URL reference.
    pub(crate) fn root(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// Makes a `Location` that names one of our routes what clients see.
    pub(crate) fn prefix_location(&self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        // `//host` names another host (RFC 3986, section 4.2).
        let own = location.filter(|location| location.starts_with('/') && !location.starts_with("//"));
        let seen = own.and_then(|own| HeaderValue::from_str(&format!("{}{own}", self.0)).ok());
        if let Some(seen) = seen {
            headers.insert(LOCATION, seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(public_url: &str, location: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static(location));
        PublicPath::of(&public_url.parse().expect("a URL")).prefix_location(&mut headers);
        headers.get(LOCATION).expect("a location").to_str().expect("text").to_owned()
    }

    #[test]
    fn only_a_location_of_our_own_is_prefixed() {
        for public_url in ["https://h.example/a/b", "https://h.example/a/b/"] {
            assert_eq!(seen(public_url, "/api/v1/exams/1"), "/a/b/api/v1/exams/1");
            for other in ["//other.example/x", "https://other.example/x", "docs"] {
                assert_eq!(seen(public_url, other), other);
            }
        }
        assert_eq!(seen("https://h.example/pr\u{fc}fung", "/x"), "/pr%C3%BCfung/x", "a header is ASCII");
        assert_eq!(seen("https://h.example", "/x"), "/x");
        let mut none = HeaderMap::new();
        PublicPath::of(&"https://h.example/a".parse().expect("a URL")).prefix_location(&mut none);
        assert!(none.is_empty());
    }
}
