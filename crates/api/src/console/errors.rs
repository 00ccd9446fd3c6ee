//! Errors as pages, and the refusal of writes that no page of ours has sent (cross-site request forgery).

use std::sync::Arc;

use actix_web::{
    HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{
            CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, ORIGIN, REFERRER_POLICY,
        },
    },
    middleware::Next,
    web,
};
use askama::Template;

use super::{
    page::{Page, html_with},
    session,
};
use crate::{http::problem::Problem, site::Site, state::State};

/// A page that says one thing.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    page: Page,
    text: &'a str,
    link: &'static str,
}

/// Answers every error with a page, and one for want of a login with the login.
pub(super) async fn as_pages<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return Err(Problem::internal(&"the application has no state").into());
    };
    let asked = Asked::of(&request);
    if !request.method().is_safe() && !is_own_write(&request, &state.site) {
        let refusal = Problem::forbidden("this form was not sent by a page of the console");
        let answer = page_of(&state.site, &refusal, &asked);
        return Ok(finish(request.into_response(answer), &state.site));
    }
    let response = next.call(request).await?;
    let status = response.status();
    let problem = match response.response().error() {
        Some(error) => Problem::of(error),
        None if !status.is_client_error() && !status.is_server_error() => {
            return Ok(finish(response.map_into_boxed_body(), &state.site));
        }
        None if response.headers().contains_key(CONTENT_TYPE) => {
            return Ok(finish(response.map_into_boxed_body(), &state.site));
        }
        None if status == StatusCode::NOT_FOUND => Problem::not_found(),
        None => Problem::new(status, "this page does not take that"),
    };
    let (request, old) = response.into_parts();
    let mut page = page_of(&state.site, &problem, &asked);
    for (name, value) in old.headers().iter().filter(|(name, _)| *name != CONTENT_TYPE) {
        page.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(finish(ServiceResponse::new(request, page), &state.site))
}

/// What is asked for.
struct Asked {
    is_get: bool,
    is_refresh: bool,
    /// Path and query.
    uri: String,
}

impl Asked {
    fn of(request: &ServiceRequest) -> Self {
        Self {
            is_get: *request.method() == Method::GET,
            is_refresh: session::is_refresh(request.headers()),
            uri: request.uri().to_string(),
        }
    }
}

fn is_own_write(request: &ServiceRequest, site: &Site) -> bool {
    let text = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    site.is_own_write(text(HeaderName::from_static("sec-fetch-site")), text(ORIGIN), text(HOST))
}

fn finish(mut response: ServiceResponse<BoxBody>, site: &Site) -> ServiceResponse<BoxBody> {
    let headers = response.headers_mut();
    if let (false, Ok(policy)) = (headers.contains_key(CONTENT_SECURITY_POLICY), HeaderValue::from_str(site.policy())) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    // With `no-referrer` browsers would send `Origin: null` with our own forms.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn page_of(site: &Arc<Site>, problem: &Problem, asked: &Asked) -> HttpResponse {
    let status = problem.status_code();
    if status == StatusCode::UNAUTHORIZED {
        return to_login(site, asked);
    }
    let title = match status {
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Nothing is here",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        status if status.is_server_error() => "Not available now",
        _ => "That did not work",
    };
    let mut text: String = problem.detail().to_owned();
    if let Some(first) = text.get(..1).map(str::to_uppercase) {
        text.replace_range(..1, &first);
    }
    text.push('.');
    let message = Message { page: Page::plain(site, title.to_owned()), text: &text, link: "Back to the overview" };
    let page = html_with(status, &message).unwrap_or_else(|problem| problem.respond(None));
    problem.add_header_to(page)
}

/// The login, and then the page that was asked for. A page that refreshes itself is left for it.
fn to_login(site: &Site, asked: &Asked) -> HttpResponse {
    let mut login = "/console/login".to_owned();
    if asked.is_get && asked.uri != "/console" && !asked.is_refresh {
        login.push_str("?next=");
        login.extend(url::form_urlencoded::byte_serialize(asked.uri.as_bytes()));
    }
    if asked.is_refresh {
        return HttpResponse::Ok().insert_header(("hx-redirect", site.path(&login))).finish();
    }
    HttpResponse::SeeOther().insert_header((LOCATION, login)).finish()
}
