//! What a route leaves of a request's body. Were it left where it is, the next request on the connection would be taken
//! for a part of it, or answered after an answer that ends the connection (RFC 9112, sections 9.3 and 9.6).

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    http::header::CONTENT_LENGTH,
    web::Bytes,
};
use futures_util::{FutureExt, Stream, StreamExt, stream::LocalBoxStream};

/// Largest rest that is waited for, so that the connection can take the next request.
const MAX_REST: usize = 256 * 1024;
/// How long a client may take to send it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A request's body, lent to its route.
#[derive(Clone)]
pub(super) struct RequestBody(Option<Rc<Body>>);

struct Body {
    payload: RefCell<Payload>,
    announced: usize,
    end: Cell<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Ahead,
    Reached,
    /// The client broke off, or broke the framing: nothing that follows can be read.
    Broken,
}

impl RequestBody {
    /// Takes the body out of the request, and lends it back.
    pub(super) fn lend(request: &mut ServiceRequest) -> Self {
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            return Self(None);
        }
        let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let body = Body {
            payload: RefCell::new(payload),
            announced: announced.unwrap_or_default(),
            end: Cell::new(End::Ahead),
        };
        let body = Self(Some(Rc::new(body)));
        let lent: LocalBoxStream<'static, _> = Box::pin(body.clone());
        request.set_payload(Payload::Stream { payload: lent });
        body
    }

    /// Reads what the route has left, unless that is too much; where the client has been waited for (`is_late`), only
    /// what it has sent. Returns whether the body is at its end: otherwise the connection can take no further request.
    pub(super) async fn finish(&mut self, is_late: bool) -> bool {
        let Some(body) = self.0.clone() else { return true };
        if body.end.get() == End::Ahead {
            tokio::task::yield_now().await; // actix hands out what it has received already
            let wait = if is_late || body.announced > MAX_REST { Duration::ZERO } else { TIMEOUT };
            let rest = async {
                let mut size = 0;
                while let Some(Ok(bytes)) = match size {
                    ..=MAX_REST => self.next().await,
                    _ => self.next().now_or_never().flatten(), // its end may have been received already
                } {
                    size += bytes.len();
                }
            };
            let _ = tokio::time::timeout(wait, rest).await;
        }
        body.end.get() == End::Reached
    }

    /// Has the body live as long as its answer: actix reads a chunked body that nobody holds to its end, however long
    /// that takes. One that is held it takes in for a limited time.
    pub(super) fn hold_during<B: MessageBody + 'static>(self, answer: B) -> BoxBody {
        BoxBody::new(Answer { answer: BoxBody::new(answer), _request: self })
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &self.0 else { return Poll::Ready(None) };
        if body.end.get() != End::Ahead {
            return Poll::Ready(None);
        }
        let next = Pin::new(&mut *body.payload.borrow_mut()).poll_next(context);
        match &next {
            Poll::Ready(None) => body.end.set(End::Reached),
            Poll::Ready(Some(Err(_))) => body.end.set(End::Broken),
            _ => {}
        }
        next
    }
}

/// The body of an answer, and that of the request which it answers.
struct Answer {
    answer: BoxBody,
    _request: RequestBody,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(context)
    }
}
