//! Pages for everybody: forms of our own that work without any script, and that nothing from elsewhere can get into.

use std::{borrow::Cow, net::IpAddr};

use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, dev::Payload, http::StatusCode, web};
use examhall_core::{BadPassword, Locale};
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, de::DeserializeOwned};

use super::{guards::CountedClient, language::AcceptedLanguage, problem::Problem};
use crate::{
    state::State,
    templates::{PageAssets, PageVariables},
};

/// Longer than any token of ours.
const MAX_TOKEN: usize = 200;

/// Shows pages in the language of the reader's browser.
pub(crate) struct Pages {
    state: web::Data<State>,
    language: Option<Locale>,
    /// What leads from the request's address to the root: `../` for each folder.
    root: String,
}

impl FromRequest for Pages {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let state = request.app_data::<web::Data<State>>().cloned();
        let Ok(AcceptedLanguage(language)) = AcceptedLanguage::from_request(request, payload).into_inner();
        let root = "../".repeat(request.path().matches('/').count().saturating_sub(1));
        let pages = state.map(|state| Self { state, language, root });
        std::future::ready(pages.ok_or_else(|| Problem::internal(&"the application has no state")))
    }
}

impl Pages {
    /// The language of the browser, if there are templates in it.
    pub(crate) fn language(&self) -> Option<&Locale> {
        self.language.as_ref()
    }

    /// The answer that shows a page.
    pub(crate) fn page(
        &self,
        status: StatusCode,
        file: &str,
        variables: PageVariables<'_>,
    ) -> Result<HttpResponse, Problem> {
        let asset = |name| format!("{}{}", self.root, self.state.site.assets.path(name).trim_start_matches('/'));
        let assets = PageAssets { style: asset("style.css"), script: asset("pages.js"), icon: asset("icon.svg") };
        let html = self.state.templates.render(file, self.language(), &variables.to_value(&assets));
        Ok(HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header(("referrer-policy", "no-referrer")) // the address holds the token
            .insert_header(("content-security-policy", self.policy().as_ref()))
            .body(html.map_err(|error| Problem::internal(&error))?))
    }

    /// The form that asks whether what a mail's link is for is to be done.
    pub(crate) fn ask(&self, file: &str, token: &str) -> Result<HttpResponse, Problem> {
        self.page(StatusCode::OK, file, PageVariables { step: "ask", token, ..PageVariables::NONE })
    }

    /// The answer to a token that is none of ours, or no longer good.
    pub(crate) fn refused(&self, file: &str) -> Result<HttpResponse, Problem> {
        self.page(StatusCode::BAD_REQUEST, file, PageVariables { step: "refused", ..PageVariables::NONE })
    }

    /// The answer once what a mail's link is for was done.
    pub(crate) fn done(&self, file: &str) -> Result<HttpResponse, Problem> {
        self.page(StatusCode::OK, file, PageVariables { step: "done", ..PageVariables::NONE })
    }

    /// Templates of an operator may have their style in themselves.
    fn policy(&self) -> Cow<'_, str> {
        let policy = self.state.site.policy();
        if self.state.templates.has_custom() {
            return policy.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").into();
        }
        policy.into()
    }

    /// The answer as it is, or a page that says what is wrong: these pages are seen in a browser.
    pub(crate) fn shown(&self, answer: Result<HttpResponse, Problem>) -> HttpResponse {
        answer.unwrap_or_else(|problem| {
            let status = problem.status_code();
            let detail = problem.detail();
            let trouble = PageVariables { step: "trouble", status: status.as_u16(), detail, ..PageVariables::NONE };
            // Where even that cannot be shown, the problem itself is the answer.
            let page = self.page(status, "page-trouble.html", trouble).unwrap_or_else(|problem| problem.respond(None));
            problem.add_header_to(page)
        })
    }
}

/// How templates name what is wrong with a password.
pub(crate) const fn complaint(bad: BadPassword) -> &'static str {
    match bad {
        BadPassword::TooShort => "tooShort",
        BadPassword::TooLong => "tooLong",
        BadPassword::Common => "common",
        BadPassword::Personal => "personal",
    }
}

/// What a page is asked with behind the question mark; a problem where it cannot be read.
pub(crate) struct Asked<T>(pub(crate) Result<T, Problem>);

impl<T: DeserializeOwned> FromRequest for Asked<T> {
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let link = web::Query::<T>::from_query(request.query_string()).map(web::Query::into_inner);
        std::future::ready(Ok(Self(link.map_err(|_| Problem::bad_request("this link is damaged")))))
    }
}

/// The link of a mail.
#[derive(Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    pub(crate) token: String,
}

/// A client of a page that asks the database; a problem where it asks too often.
pub(crate) struct CountedPage(pub(crate) Result<(), Problem>);

impl FromRequest for CountedPage {
    type Error = std::convert::Infallible;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { Ok(Self(CountedClient::extract(&request).await.map(drop))) })
    }
}

/// What a page's form sends, and who sends it: counted before anything of the form is read.
pub(crate) struct Sent<T>(pub(crate) Result<(IpAddr, T), Problem>);

impl<T: DeserializeOwned + 'static> FromRequest for Sent<T> {
    type Error = std::convert::Infallible;
    type Future = LocalBoxFuture<'static, Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move { Ok(Self(sent(&request, payload).await)) })
    }
}

async fn sent<T: DeserializeOwned + 'static>(
    request: &HttpRequest,
    mut payload: Payload,
) -> Result<(IpAddr, T), Problem> {
    let CountedClient(client) = CountedClient::extract(request).await?;
    match web::Form::<T>::from_request(request, &mut payload).await {
        Ok(form) => Ok((client, form.into_inner())),
        Err(error) => Err(Problem::new(error.as_response_error().status_code(), "this is not what the form sends")),
    }
}

/// Whether a text can be none of our tokens.
pub(crate) fn is_no_token(text: &str) -> bool {
    text.is_empty() || text.len() > MAX_TOKEN
}
