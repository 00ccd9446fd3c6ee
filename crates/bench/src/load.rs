//! A load generator for one request with an answer of one length, sent again and again over kept connections.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) lasts: Duration,
}

impl Load {
    /// Answers per second.
    pub(crate) async fn run(self, address: SocketAddr, request: &[u8]) -> anyhow::Result<f64> {
        let length = once(address, request).await?.len();
        let until = Instant::now() + self.lasts;
        let connections: Vec<_> =
            (0..self.connections).map(|_| tokio::spawn(connection(address, request.to_vec(), length, until))).collect();
        let mut answers = 0;
        for connection in connections {
            answers += connection.await??;
        }
        Ok(f64::from(answers) / self.lasts.as_secs_f64())
    }
}

async fn connection(address: SocketAddr, request: Vec<u8>, length: usize, until: Instant) -> anyhow::Result<u32> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut answer, mut answers) = (vec![0; length], 0);
    while Instant::now() < until {
        stream.write_all(&request).await?;
        stream.read_exact(&mut answer).await?;
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..60.min(length)]));
        answers += 1;
    }
    Ok(answers)
}

/// Sends one request on a connection of its own, and returns the whole answer.
pub(crate) async fn once(address: SocketAddr, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok(Connection::open(address).await?.send(request).await?.bytes)
}

/// A connection that is kept, for requests whose answers differ in length.
pub(crate) struct Connection(TcpStream);

/// An answer: head and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) bytes: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Sends a request, and reads its answer to the end.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.0.write_all(request).await?;
        let mut bytes = Vec::new();
        loop {
            if let Some(head) = find_end(&bytes) {
                let text = std::str::from_utf8(&bytes[..head])?.to_ascii_lowercase();
                let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).context("no length")?;
                if bytes.len() == head + length.trim().parse::<usize>()? {
                    let status = text.split(' ').nth(1).context("no status")?.parse()?;
                    return Ok(Answer { status, bytes });
                }
            }
            ensure!(self.0.read_buf(&mut bytes).await? > 0, "the connection ended early");
        }
    }
}

/// What follows the head.
pub(crate) fn body(answer: &[u8]) -> &[u8] {
    &answer[find_end(answer).unwrap_or(answer.len())..]
}

fn find_end(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// A POST without a body, of somebody who has logged in.
pub(crate) fn post_as(path: &str, token: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n");
    format!("{head}Content-Length: 0\r\n\r\n").into_bytes()
}

pub(crate) fn post(path: &str, json: &str) -> Vec<u8> {
    let length = json.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n");
    format!("{head}Content-Length: {length}\r\n\r\n{json}").into_bytes()
}
