//! Authorization before input: a client that may not do this gets 401 or 403, whatever else it has sent.

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use futures_util::future::LocalBoxFuture;

use super::problem::Problem;
use crate::openapi::{Description, Input};

/// What a guard has found out, and the input that was read and validated after that.
///
/// actix reads a route's parameters side by side: a body can be refused while its sender's rights are still looked up.
/// Here `T` (a [`JsonBody`](super::body::JsonBody), or a tuple of parameters, headers and a body) is begun once `G` has
/// let the request pass. Until then no byte of the body is read.
pub(crate) struct Authorized<G, T>(pub(crate) G, pub(crate) T);

impl<G, T> FromRequest for Authorized<G, T>
where
    G: FromRequest<Error = Problem> + 'static,
    T: FromRequest + 'static,
{
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let guard = G::from_request(&request, &mut Payload::None).await?;
            let input = T::from_request(&request, &mut payload).await;
            input.map(|input| Self(guard, input)).map_err(|error| Problem::of(&error.into()))
        })
    }
}

impl<G: Input, T: Input> Input for Authorized<G, T> {
    fn describe(description: &mut Description) {
        G::describe(description);
        T::describe(description);
    }
}
