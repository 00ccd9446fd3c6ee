//! Commands to a server and replies from it, each with a timeout.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{
    error::ErrorKind,
    reply::Reply,
    reply_parser::{Malformed, ReplyParser},
};

/// Bytes of one write, which has the timeout of one step.
const CHUNK: usize = 64 * 1024;

/// A byte stream, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// One connection. Closed when dropped.
pub(super) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
}

impl Wire {
    pub(super) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::with_capacity(1024, Box::new(stream)) }
    }

    /// Encrypts the connection from here on.
    ///
    /// Bytes received before were not protected: any are treated as an attack (CVE-2011-0411).
    pub(super) async fn encrypt(self, tls: &TlsConnector, host: &str, limit: Duration) -> Result<Self, ErrorKind> {
        if !self.stream.buffer().is_empty() {
            return Err(ErrorKind::Untrusted("unexpected data before TLS".to_owned()));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| ErrorKind::Untrusted(error.to_string()))?;
        let handshake = timeout(limit, tls.connect(name, self.stream.into_inner())).await;
        let stream = handshake
            .map_err(|_| ErrorKind::ConnectionLost("no TLS in time".to_owned()))?
            .map_err(|error| tls_fault(&error))?;
        Ok(Self::new(stream))
    }

    /// Writes all bytes. After an error the end of `bytes` has not reached the server.
    pub(super) async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), ErrorKind> {
        for chunk in bytes.chunks(CHUNK) {
            let writing = timeout(limit, self.stream.get_mut().write_all(chunk)).await;
            writing.map_err(|_| too_slow())?.map_err(|error| broken(&error))?;
        }
        timeout(limit, self.stream.get_mut().flush()).await.map_err(|_| too_slow())?.map_err(|error| broken(&error))
    }

    /// Reads the next reply, all its lines.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, ErrorKind> {
        timeout(limit, self.read_reply())
            .await
            .map_err(|_| ErrorKind::ConnectionLost("no answer in time".to_owned()))?
    }

    /// Waits until the server has closed the connection; ignores what it sends.
    pub(super) async fn closed(&mut self, limit: Duration) {
        let _ = timeout(limit, tokio::io::copy(&mut self.stream, &mut tokio::io::sink())).await; // any end will do
    }

    async fn read_reply(&mut self) -> Result<Reply, ErrorKind> {
        let mut parser = ReplyParser::default();
        loop {
            let part = self.stream.fill_buf().await.map_err(|error| broken(&error))?;
            if part.is_empty() {
                let closed = || ErrorKind::ConnectionLost("the server closed the connection".to_owned());
                return parser.end()?.ok_or_else(closed);
            }
            let (reply, used) = parser.push(part)?;
            self.stream.consume(used);
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
    }
}

impl From<Malformed> for ErrorKind {
    fn from(Malformed(shown): Malformed) -> Self {
        Self::UnexpectedReply(shown)
    }
}

fn too_slow() -> ErrorKind {
    ErrorKind::ConnectionLost("the server did not read in time".to_owned())
}

fn broken(error: &io::Error) -> ErrorKind {
    ErrorKind::ConnectionLost(error.to_string())
}

fn tls_fault(error: &io::Error) -> ErrorKind {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(reason)) => ErrorKind::Untrusted(reason.to_string()),
        _ => ErrorKind::ConnectionLost(format!("TLS: {error}")),
    }
}
