//! The language that a client asks for (RFC 9110, section 12.5.4).

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{AcceptLanguage, Header, Preference, Quality},
    web,
};
use examhall_core::Locale;

use crate::{
    openapi::{Description, Input},
    state::State,
};

/// The first language of `Accept-Language` that there are templates in.
pub(crate) struct AcceptedLanguage(pub(crate) Option<Locale>);

impl FromRequest for AcceptedLanguage {
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = request.app_data::<web::Data<State>>();
        std::future::ready(Ok(Self(state.and_then(|state| state.templates.best(&accepted(request))))))
    }
}

impl Input for AcceptedLanguage {
    fn describe(description: &mut Description) {
        description.optional_header("Accept-Language");
    }
}

/// The languages that a client accepts, best first. What cannot be read is none.
fn accepted(request: &HttpRequest) -> Vec<Locale> {
    let mut accepted = AcceptLanguage::parse(request).map(|header| header.0).unwrap_or_default();
    accepted.retain(|item| item.quality > Quality::ZERO);
    accepted.sort_by_key(|item| std::cmp::Reverse(item.quality)); // stable: the order counts among equals
    let tags = accepted.into_iter().filter_map(|item| match item.item {
        Preference::Specific(tag) => Locale::parse(tag.as_str()).ok(),
        Preference::Any => None,
    });
    tags.collect()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn languages_are_accepted_in_order_of_quality() {
        for (header, expected) in [
            ("de", &["de"][..]),
            ("de-AT, en;q=0.5, fr;q=0.9", &["de-AT", "fr", "en"]),
            ("en;q=0.5, de;q=0.5", &["en", "de"]),
            ("de;q=0, en", &["en"]),
            ("*", &[]),
            ("DE-de, *;q=0.1", &["de-DE"]),
            ("", &[]),
            (";;;", &[]),
        ] {
            let request = TestRequest::default().insert_header(("Accept-Language", header)).to_http_request();
            let accepted = accepted(&request);
            assert_eq!(accepted.iter().map(Locale::as_str).collect::<Vec<_>>(), expected, "{header:?}");
        }
        assert!(accepted(&TestRequest::default().to_http_request()).is_empty());
    }
}
