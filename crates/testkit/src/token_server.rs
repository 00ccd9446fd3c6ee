//! A token server (OAuth 2.0, RFC 6749) that issues `token-1`, `token-2`, ..., and misbehaves on request.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum TokenAnswer {
    /// Issues a new token.
    Issue {
        /// How long it is valid, in seconds.
        life: u64,
        /// A new refresh token.
        refresh_token: Option<String>,
    },
    /// Answers with this status and body instead, in JSON if it begins with a brace.
    Status(u16, String),
    /// Closes the connection.
    Close,
    /// Never answers.
    Hang,
}

/// The server; ends with the test.
#[derive(Clone)]
pub struct TokenServer {
    address: SocketAddr,
    answer: watch::Sender<TokenAnswer>,
    requests: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

impl TokenServer {
    /// Starts one on a port of 127.0.0.1 that issues tokens for an hour.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server = Self {
            address: listener.local_addr().expect("a bound listener has an address"),
            answer: watch::Sender::new(TokenAnswer::Issue { life: 3600, refresh_token: None }),
            requests: Arc::default(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        server
    }

    /// The token endpoint.
    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// From now on it answers so.
    pub fn answer(&self, answer: TokenAnswer) {
        self.answer.send_replace(answer);
    }

    /// The parameters of all requests so far.
    pub fn requests(&self) -> Vec<BTreeMap<String, String>> {
        self.requests.lock().expect("no session panicked").clone()
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let (mut length, mut line) = (0, String::new());
        while stream.read_line(&mut line).await.ok()? > 2 {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let number = {
            let mut requests = self.requests.lock().expect("no session panicked");
            requests.push(form(&String::from_utf8_lossy(&body)));
            requests.len()
        };
        let answer = self.answer.borrow().clone();
        let (status, body) = match answer {
            TokenAnswer::Issue { life, refresh_token } => {
                let token = format!("token-{number}");
                let mut body = serde_json::json!({"token_type": "Bearer", "access_token": token, "expires_in": life});
                if let Some(refresh_token) = refresh_token {
                    body["refresh_token"] = refresh_token.into();
                }
                (200, body.to_string())
            }
            TokenAnswer::Status(status, body) => (status, body),
            TokenAnswer::Close => return None,
            TokenAnswer::Hang => std::future::pending().await,
        };
        let kind = if body.starts_with('{') { "application/json" } else { "text/html" };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.get_mut().write_all(answer.as_bytes()).await.ok()
    }
}

/// The parameters of a form (`application/x-www-form-urlencoded`).
fn form(body: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let (mut bytes, mut rest) = (Vec::new(), text.bytes());
        while let Some(byte) = rest.next() {
            let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).unwrap_or_default();
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => u8::try_from(hex(rest.next()) * 16 + hex(rest.next())).expect("two digits"),
                other => other,
            });
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    body.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}
