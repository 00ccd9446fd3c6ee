//! What stands on the wire where an answer does not wait for its request's body: it arrives, and the next answer is that
//! of the next request.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{Api, TIMEOUT};

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close")
    }
}

/// A connection whose answers are read one after the other.
struct Wire {
    reads: OwnedReadHalf,
    writes: Option<OwnedWriteHalf>,
    pending: Vec<u8>,
}

impl Wire {
    async fn open(api: &Api) -> Self {
        let stream = TcpStream::connect(api.base.trim_start_matches("http://")).await.expect("connected");
        let (reads, writes) = stream.into_split();
        Self { reads, writes: Some(writes), pending: Vec::new() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.writes.as_mut().expect("open").write_all(bytes).await.expect("sent");
    }

    /// Takes more of what came; `false` at its end.
    async fn more(&mut self) -> bool {
        let reading = self.reads.read_buf(&mut self.pending);
        let read = tokio::time::timeout(TIMEOUT, reading).await.expect("an answer or an end");
        let read = read.unwrap_or_else(|error| unreachable!("cut off: {error}; {:?}", self.text()));
        read > 0
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }

    /// The next answer; `None` where the connection was closed instead.
    async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(end) = self.text().find("\r\n\r\n") {
                let head = self.text()[..end].to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                let length: usize = length.parse().expect("a length");
                while self.pending.len() < end + 4 + length {
                    assert!(self.more().await, "cut off: {}", self.text());
                }
                let body = String::from_utf8_lossy(&self.pending[end + 4..end + 4 + length]).into_owned();
                self.pending.drain(..end + 4 + length);
                let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
                return Some(Answer { status, head, body });
            }
            if !self.more().await {
                assert!(self.pending.is_empty(), "half an answer: {}", self.text());
                return None;
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Whole,
    /// With the next request behind it.
    Pipelined,
    /// The head, and the body on a slow line.
    HeadFirst,
    Chunked,
}

const WAYS: [Way; 4] = [Way::Whole, Way::Pipelined, Way::HeadFirst, Way::Chunked];
const SIZES: [usize; 6] = [1, 100, 10_000, 140_000, 300_000, 2_000_000];
const NEXT: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/// A request: its first line, further headers.
struct Request<'a> {
    line: &'a str,
    more: &'a str,
    status: u16,
}

impl Request<'_> {
    fn head(&self, framing: &str) -> Vec<u8> {
        let Self { line, more, .. } = self;
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more}{framing}\r\n\r\n");
        head.into_bytes()
    }

    fn with_body(&self, size: usize, way: Way) -> (Vec<u8>, Vec<u8>) {
        let body = vec![b' '; size];
        if matches!(way, Way::Chunked) {
            let chunks = body
                .chunks(50_000)
                .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            return (self.head("transfer-encoding: chunked"), chunks.chain(*b"0\r\n\r\n").collect());
        }
        (self.head(&format!("content-length: {size}")), body)
    }

    /// Sends it as a client does that reads nothing until it has sent everything.
    async fn check(&self, api: &Api, size: usize, way: Way) {
        let what = format!("{}, {size} bytes, {way:?}", self.line);
        let (head, body) = self.with_body(size, way);
        let mut wire = Wire::open(api).await;
        match way {
            Way::HeadFirst => {
                wire.send(&head).await;
                for part in body.chunks(400_000) {
                    tokio::time::sleep(Duration::from_millis(300)).await; // the line is that slow
                    wire.send(part).await;
                }
            }
            Way::Pipelined => wire.send(&[&head, &body, NEXT.as_bytes()].concat()).await,
            _ => wire.send(&[head, body].concat()).await,
        }
        let answer = wire.answer().await.unwrap_or_else(|| unreachable!("{what}: closed without an answer"));
        assert_eq!(answer.status, self.status, "{what}: {answer:?}");
        if answer.status >= 400 {
            assert!(answer.head.contains("content-type: application/problem+json"), "{what}: {answer:?}");
        }
        assert!(answer.body.starts_with('{') && answer.body.ends_with('}'), "{what}: {answer:?}");
        assert!(size > 10_000 || !answer.closes(), "{what}: a small body ends no connection: {answer:?}");
        if answer.closes() {
            wire.writes = None;
        } else if !matches!(way, Way::Pipelined) {
            wire.send(NEXT.as_bytes()).await;
        }
        match wire.answer().await {
            Some(next) => {
                assert!(!answer.closes() && next.status == 200, "{what}: out of step: {answer:?} {next:?}");
            }
            None => assert!(answer.closes(), "{what}: closed without notice: {answer:?}"),
        }
    }
}

async fn check_all(api: &Api, requests: &[Request<'_>], sizes: &[usize], ways: &[Way]) {
    let cases = requests.iter().flat_map(|request| {
        sizes.iter().flat_map(move |size| ways.iter().map(move |way| request.check(api, *size, *way)))
    });
    stream::iter(cases).buffer_unordered(16).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn a_refusal_before_the_body_is_read_arrives_whole() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let student = format!("authorization: Bearer {}\r\n", api.log_in(&seeded["studentEmails"][0]).await);
    let refused = [
        Request { line: "PATCH /api/v1/users/me", more: "", status: 401 },
        Request { line: "POST /api/v1/exams", more: &student, status: 403 },
        Request { line: "POST /api/v1/nowhere", more: &student, status: 404 },
        Request { line: "POST /api/v1/exams/x", more: &student, status: 405 },
    ];
    check_all(&api, &refused, &SIZES, &WAYS).await;
    let too_large = [Request { line: "POST /api/v1/auth/verify", more: "", status: 413 }];
    check_all(&api, &too_large, &[2_000_000], &WAYS).await;
    api.stop().await;
}

#[tokio::test]
async fn a_client_over_its_limit_reads_why_and_stays_in_step() {
    let mut api = Api::start().await;
    api.world.redis.kill().await;
    while api.post("/api/v1/auth/verify", &json!({"token": "x"})).await.status() != 429 {}
    let refused = [Request { line: "POST /api/v1/auth/signup", more: "", status: 429 }];
    check_all(&api, &refused, &SIZES, &WAYS).await;
    api.stop().await;
}

#[tokio::test]
async fn a_body_that_a_route_does_not_want_is_passed_over() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let student = format!("authorization: Bearer {}\r\n", api.log_in(&seeded["studentEmails"][0]).await);
    let read = [Request { line: "GET /api/v1/users/me", more: &student, status: 200 }];
    check_all(&api, &read, &SIZES, &WAYS).await;
    api.stop().await;
}

#[tokio::test]
async fn a_body_without_end_does_not_hold_a_connection() {
    let api = Api::start().await;
    let refused = Request { line: "POST /api/v1/nowhere", more: "", status: 404 };
    let check = async |size: usize| {
        let (head, body) = refused.with_body(size, Way::Chunked);
        let mut wire = Wire::open(&api).await;
        wire.send(&[&head, &body[..body.len() - 5]].concat()).await;
        let answer = wire.answer().await.expect("an answer");
        assert!(answer.status == 404 && answer.closes(), "{answer:?}");
        assert!(wire.answer().await.is_none(), "it is closed, and not by the client");
    };
    tokio::join!(check(10), check(300_000));
    api.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_its_connection() {
    let api = Api::start().await;
    for line in ["POST /api/v1/auth/verify", "POST /api/v1/nowhere"] {
        let request = Request { line, more: "", status: 400 };
        let mut wire = Wire::open(&api).await;
        wire.send(&[&request.head("content-length: 20"), b"{}".as_slice()].concat()).await;
        wire.writes = None;
        let answer = wire.answer().await.expect("an answer");
        assert!([400, 404].contains(&answer.status) && answer.closes(), "{line}: {answer:?}");
        assert!(wire.answer().await.is_none(), "one answer");
        // Where no chunk can be read actix closes the connection, with an answer or without.
        for body in ["zz\r\nx\r\n0\r\n\r\n", "fffffffffffffffff\r\nx", "1\r\nxyz\r\n0\r\n\r\n", "-1\r\nx\r\n"] {
            let mut wire = Wire::open(&api).await;
            let head = request.head("transfer-encoding: chunked");
            wire.send(&[&head, body.as_bytes(), NEXT.as_bytes()].concat()).await;
            while let Some(answer) = wire.answer().await {
                assert!(answer.closes(), "{line} {body:?}: {answer:?}");
            }
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn what_is_no_http_gets_a_status_and_the_end() {
    let api = Api::start().await;
    // Exactly as much as actix takes in: were there more, it would hang up on it.
    let long = "GET / HTTP/1.1\r\nhost: x\r\nx: ";
    let long = format!("{long}{}", "x".repeat(131_072 - long.len()));
    for (status, head) in [
        (400, "GET /healthz HTTP/1.1\r\nhost: x\r\nif-none-match: \u{1}\r\n\r\n"),
        (400, "GET /healthz HTTP/1.1\r\nhost: x\r\nif-none-match: a\0b\r\n\r\n"),
        (400, "GET /healthz HTTP/1.1\r\nhost: x\r\nif-none-match: \u{7f}\r\n\r\n"),
        (400, "GET /healthz HTTP/1.1\r\nho st: x\r\n\r\n"),
        (400, "GET /healthz\r\n\r\n"),
        (400, "\u{1}GET /healthz HTTP/1.1\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (431, &long),
    ] {
        let mut wire = Wire::open(&api).await;
        wire.send(head.as_bytes()).await;
        let what = &head[..head.len().min(90)];
        let answer = wire.answer().await.unwrap_or_else(|| unreachable!("{what:?}: closed without an answer"));
        assert_eq!(answer.status, status, "{what:?}: {answer:?}");
        assert!(answer.body.is_empty(), "as docs/api.md says: {answer:?}");
        assert!(wire.answer().await.is_none(), "{what:?}");
    }
    api.stop().await;
}

#[tokio::test]
async fn a_request_after_the_last_answer_is_not_done() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let author = api.log_in(&seeded["authorEmail"]).await;
    let exam = json!({"title": "Sent behind the last", "description": "", "durationMinutes": 1}).to_string();
    let create = format!(
        "POST /api/v1/exams HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {author}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{exam}",
        exam.len()
    );
    for first in ["GET /readyz HTTP/1.0\r\n\r\n", "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"] {
        let mut wire = Wire::open(&api).await;
        wire.send(format!("{first}{create}").as_bytes()).await;
        assert_eq!(wire.answer().await.expect("an answer").status, 200);
        while let Some(answer) = wire.answer().await {
            assert_eq!(answer.status, 503, "{answer:?}");
        }
    }
    let exams = api.expect(200, reqwest::Method::GET, "/exams", &author, &Value::Null).await;
    assert!(!exams.to_string().contains("Sent behind"), "{exams}");
    api.stop().await;
}
