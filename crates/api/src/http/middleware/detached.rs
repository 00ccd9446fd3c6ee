//! Writes of operators run to their end.

use actix_web::{
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    rt,
};
use tracing::Instrument;

use crate::http::problem::Problem;

/// Runs a write in a task of its own: a client that hangs up, or a request that takes too long, does not stop it between a change
/// and its record in the audit trail.
pub(crate) async fn detached<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    if request.method().is_safe() {
        return next.call(request).await;
    }
    let running = rt::spawn(next.call(request).instrument(tracing::Span::current()));
    running.await.map_err(|error| Problem::internal(&error))?
}
