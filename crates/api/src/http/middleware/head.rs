//! HEAD wherever GET is (RFC 9110, section 9.3.2), and `Allow` where a method is not taken (section 15.5.6).

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{ALLOW, HeaderValue},
    },
    middleware::Next,
    web::Bytes,
};

use crate::openapi;

/// Answers HEAD as GET is answered, without the body: a file that is sent as it is read is not read.
pub(crate) async fn head<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, Unsent>>, actix_web::Error> {
    let is_head = *request.method() == Method::HEAD;
    if is_head {
        request.head_mut().method = Method::GET;
    }
    let mut response = next.call(request).await?;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let pattern = response.request().match_pattern().unwrap_or_default();
        if let Ok(allowed) = HeaderValue::from_str(&allowed(&pattern)) {
            response.headers_mut().insert(ALLOW, allowed);
        }
    }
    Ok(response.map_body(
        |_, body| {
            if is_head { EitherBody::right(Unsent(body.size())) } else { EitherBody::left(body) }
        },
    ))
}

/// The methods of an address, by its pattern.
fn allowed(pattern: &str) -> String {
    let mut methods = match pattern.strip_prefix("/api/v1") {
        Some(path) => openapi::methods_of(path),
        None if ["/verify", "/reset"].contains(&pattern) => vec!["GET".to_owned(), "POST".to_owned()],
        None => vec!["GET".to_owned()],
    };
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    methods.join(", ")
}

/// A body that is as long as another, and is not sent.
pub(crate) struct Unsent(BodySize);

impl MessageBody for Unsent {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}
