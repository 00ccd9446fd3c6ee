//! HEAD wherever GET is (RFC 9110, section 9.3.2).

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
    web::Bytes,
};

/// Answers HEAD as GET is answered, without the body: a file that is sent as it is read is not read.
pub(crate) async fn head<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, Unsent>>, actix_web::Error> {
    let is_head = *request.method() == Method::HEAD;
    if is_head {
        request.head_mut().method = Method::GET;
    }
    let response = next.call(request).await?;
    Ok(response.map_body(
        |_, body| {
            if is_head { EitherBody::right(Unsent(body.size())) } else { EitherBody::left(body) }
        },
    ))
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
