//! Kinds of servers: TLS, unix socket, Sentinel, Cluster.

use std::time::Duration;

use examhall_queue::{Connection, Error, FlowJob, FlowProducer, JobOptions, Queue};
use examhall_testkit::{Process, Redis, RedisCluster, RedisOptions, Sentinel, eventually, example};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{TIMEOUT, done, job, named, quick};

/// Adds a job, runs all jobs, and returns their number.
async fn runs(url: &str, prefix: &str) -> u64 {
    let connection = Connection::open(url).expect("a good URL");
    tokio::time::timeout(TIMEOUT, connection.ready()).await.expect("in time").expect("connected");
    let queue: Queue<Value> = Queue::new(connection, prefix, "email").expect("good names");
    queue.check_server().await.expect("suitable");
    queue.add(job(JobOptions::default())).await.expect("added");
    drain(queue).await
}

/// Runs all jobs, and returns their number.
async fn drain(queue: Queue<Value>) -> u64 {
    let worker = examhall_queue::Worker::new(queue, quick(), done).expect("good options");
    worker.drain(Duration::ZERO, tokio_util::sync::CancellationToken::new()).await.completed
}

#[tokio::test]
async fn queue_works_over_a_unix_socket() {
    let folder = TempDir::new().expect("a folder");
    let socket = folder.path().join("redis.sock").display().to_string();
    let options = RedisOptions { args: vec!["--unixsocket".into(), socket.clone()], ..RedisOptions::default() };
    let _redis = Redis::start_with(options).await;
    assert_eq!(runs(&format!("redis+unix://{socket}"), "bull").await, 1);
}

/// Creates a self-signed certificate for localhost, and returns its files.
fn certificate(folder: &TempDir) -> (String, String) {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &cert])
        .output()
        .expect("openssl, which ./scripts/test installs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (cert, key)
}

#[tokio::test]
async fn tls_needs_a_trusted_certificate() {
    let folder = TempDir::new().expect("a folder");
    let (cert, key) = certificate(&folder);
    let args = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"].map(str::to_owned).into();
    let options = RedisOptions { args, further_port: Some("--tls-port"), ..RedisOptions::default() };
    let redis = Redis::start_with(options).await;
    let url = format!("rediss://localhost:{}", redis.further_port());
    // Trusted certificates are read from the environment of a process.
    let start = |trusted: Option<&str>| {
        let mut command = Command::new(example("producer"));
        command.args([url.as_str(), "email", "3"]).envs(trusted.map(|file| ("SSL_CERT_FILE", file)));
        Process::spawn("producer", &mut command)
    };
    let mut known = start(Some(&cert));
    assert!(known.exit(TIMEOUT).await.success(), "{}", known.output());
    let mut unknown = start(None);
    tokio::time::sleep(Duration::from_secs(2)).await; // enough time to connect
    assert!(unknown.is_running() && !unknown.output().contains("added"), "{}", unknown.output());
}

#[tokio::test]
async fn cluster_needs_a_hash_tag() {
    let cluster = RedisCluster::start(3).await;
    let url = cluster.url();
    assert_eq!(runs(&url, "{bull}").await, 1);
    let connection = Connection::open(&url).expect("a good URL");
    connection.ready().await.expect("connected");
    let plain: Queue<Value> = Queue::new(connection.clone(), "bull", "email").expect("good names");
    let refused = plain.check_server().await.expect_err("its keys would be spread");
    assert!(matches!(&refused, Error::NeedsHashTag { prefix } if prefix == "bull"), "{refused}");
    assert!(refused.to_string().contains("the prefix {bull} instead of bull"), "{refused}");

    let page = |n: u32| FlowJob::new("email", "page", &n).expect("JSON");
    let book = FlowJob::new("books", "bind", &0).expect("JSON").children([page(1), page(2)]);
    let refused = FlowProducer::new(connection.clone(), "bull").add(&book).await.expect_err("they would be spread");
    assert!(matches!(&refused, Error::BadFlow(reason) if reason.contains("{bull}")), "{refused}");
    FlowProducer::new(connection.clone(), "{bull}").add(&book).await.expect("added");
    for (name, jobs) in [("books", 0), ("email", 2), ("books", 1)] {
        let queue = Queue::new(connection.clone(), "{bull}", name).expect("good names");
        assert_eq!(drain(queue).await, jobs, "{name}: a parent waits for its children");
    }
}

#[tokio::test]
async fn queue_follows_sentinel_to_the_new_master() {
    let mut master = Redis::start().await;
    let sentinel = Sentinel::watch(&master).await;
    let url = sentinel.url();
    assert_eq!(runs(&url, "bull").await, 1);
    let connection = Connection::open(&url).expect("a good URL");
    connection.ready().await.expect("connected");
    let queue: Queue<Value> = Queue::new(connection, "bull", "email").expect("good names");
    master.kill().await;
    eventually("jobs are added at the new master", TIMEOUT, || async { queue.add(job(named("after"))).await.ok() })
        .await;
    eventually("the replica in the master's place", TIMEOUT, async || sentinel.has_promoted().then_some(())).await;
    assert_eq!(runs(&url, "bull").await, 2, "with the one added above");
}
