//! One HTTPS request (HTTP/1.1) to a token server, without redirects, cookies and proxies.

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use oauth2::{HttpRequest, HttpResponse};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::smtp::connect::connect;

/// Largest answer in bytes; a token has some thousand.
const MOST_BYTES: usize = 256 * 1024;
/// Longest wait for a connection; the caller limits the whole request.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(30);

/// Why there is no answer that can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The server cannot be reached, closes the connection, or its certificate is not trusted.
    #[error("the token server cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// HTTP is violated, or the connection is lost.
    #[error("the token server's answer was lost: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is too long, or is cut off.
    #[error("the token server's answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The server has a failure of its own, or too much to do.
    #[error("the token server answers with status {0}")]
    Failed(u16),
    /// The server has no token there.
    #[error("the token server answers with status {0}")]
    Refused(u16),
}

/// Sends a request whose address is absolute.
pub(super) async fn send(request: HttpRequest, tls: Option<TlsConnector>) -> Result<HttpResponse, HttpError> {
    let host = request.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = request.uri().port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let stream = connect(&host, port, CONNECT).await?;
    match tls {
        None => exchange(stream, request).await,
        Some(tls) => {
            let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
            exchange(tls.connect(name, stream).await?, request).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: HttpRequest,
) -> Result<HttpResponse, HttpError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(origin_form(request)).await?;
    read(answer).await
}

/// The request as it is sent to a server and not to a proxy (RFC 9112, section 3.2.1).
fn origin_form(request: HttpRequest) -> Request<Full<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let host = parts.uri.authority().and_then(|it| HeaderValue::from_str(it.as_str()).ok());
    if let Some(host) = host {
        parts.headers.insert(HOST, host);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse();
    parts.uri = path.unwrap_or_default();
    Request::from_parts(parts, Full::from(body))
}

async fn read(answer: hyper::Response<Incoming>) -> Result<HttpResponse, HttpError> {
    let (parts, body) = answer.into_parts();
    let status = parts.status;
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        return Err(HttpError::Failed(status.as_u16()));
    }
    let body = Limited::new(body, MOST_BYTES).collect().await.map_err(HttpError::Body)?.to_bytes().to_vec();
    // Only an answer in JSON says why (RFC 6749, section 5.2); a redirect is not followed: it would carry the secret elsewhere.
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    if !status.is_success() && !is_json {
        return Err(HttpError::Refused(status.as_u16()));
    }
    Ok(HttpResponse::from_parts(parts, body))
}
