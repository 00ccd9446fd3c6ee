//! Jobs that cannot be read: they fail with a reason, in a form that every reader can read, and delay no other job.

use examhall_queue::{JobOptions, Json, Outcome, Queue, State, Worker};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{Bench, connect, done, job, named, quick};

const HASH: [&str; 8] = ["name", "x", "data", "{}", "opts", "{}", "timestamp", "1"];

/// Writes a hash and enqueues it; its key, fields and values are in hexadecimal digits.
const WRITE: &str = "local words = {}
    for i, word in ipairs(ARGV) do
      words[i] = string.gsub(word, '..', function(byte) return string.char(tonumber(byte, 16)) end)
    end
    redis.call('HSET', unpack(words))
    return redis.call('LPUSH', 'bull:email:wait', (string.gsub(words[1], '^bull:email:', '')))";

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or_default()
}

/// Writes a job, with other values of some fields; `-` is none.
async fn write(bench: &Bench, id: &[u8], fields: &[(&str, &[u8])]) {
    let key = [b"bull:email:".as_slice(), id].concat();
    let mut all: Vec<(&str, &[u8])> = HASH.chunks_exact(2).map(|pair| (pair[0], pair[1].as_bytes())).collect();
    all.retain(|(name, _)| fields.iter().all(|(other, _)| other != name));
    all.extend(fields.iter().filter(|(_, value)| *value != b"-"));
    let set = all.into_iter().flat_map(|(name, value)| [name.as_bytes().to_vec(), value.to_vec()]);
    let hex = |word: Vec<u8>| word.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect::<String>();
    let words: Vec<String> = std::iter::once(key).chain(set).map(hex).collect();
    let words: Vec<&str> = ["EVAL", WRITE, "0"].into_iter().chain(words.iter().map(String::as_str)).collect();
    bench.redis.command::<i64>(&words).await;
}

#[tokio::test]
async fn broken_jobs_fail_and_can_be_read() {
    let cases: [(&str, &str, &[u8]); 9] = [
        ("data", "oops", b"{oops"),
        ("data", "empty", b""),
        ("opts", "opts", b"[1"),
        ("opts", "null", b"null"),
        ("opts", "bytes", b"\xff"),
        ("progress", "progress", b"{"),
        ("name", "nameless", b"-"),
        ("data", "quote", b"\"\xff"),
        ("parent", "parent", b"{oops"),
    ];
    let bench = Bench::start().await;
    for (field, id, value) in cases {
        write(&bench, id.as_bytes(), &[(field, value), ("deid", b"d"), ("defa", b"-")]).await;
    }
    bench.redis.cmd::<String>("SET bull:email:de:d oops").await;
    bench.add(named("good")).await;
    let drained = bench.drain(done).await;
    assert_eq!((drained.completed, drained.failed.len()), (1, cases.len()));
    for (field, id, value) in cases {
        let found = bench.queue.get(id).await.expect("read").expect("kept");
        assert_eq!(found.state, State::Failed, "{id}");
        assert!(found.failed_reason.is_some_and(|reason| reason.contains(field) || field == "opts"), "{id}");
        let kept = found.unreadable.get(field).cloned().unwrap_or_default();
        assert_eq!(kept, String::from_utf8_lossy(value).replace('-', ""), "{id}");
        for name in ["name", "data", "opts", "timestamp"] {
            assert!(bench.hash(id).await.contains_key(name), "{id} has no {name}");
        }
        for name in ["data", "opts", "progress", "stacktrace", "parent"] {
            let text = bench.field(id, name).await.unwrap_or_else(|| "0".to_owned());
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{id}: {name} is {text}");
        }
    }
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:de:d bull:email:active").await, 0);
}

#[tokio::test]
async fn syntax_errors_are_not_mistaken_for_another_type() {
    /// Wraps serde's errors, as the mailer's payload does.
    struct Wrapped;
    impl<'de> serde::Deserialize<'de> for Wrapped {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            use serde::de::Error;
            Vec::<u8>::deserialize(deserializer).map(|_| Self).map_err(|_| D::Error::custom("no list"))
        }
    }
    let bench = Bench::start().await;
    write(&bench, b"broken", &[("data", b"{oops")]).await;
    write(&bench, b"other", &[("data", b"{\"a\":1}")]).await;
    let queue = Queue::<Wrapped>::new(connect(&bench.redis).await, "bull", "email").expect("good names");
    let handler = |_| async { Outcome::Completed(Value::Null) };
    let worker = Worker::new(queue, quick(), handler).expect("good options");
    worker.drain(std::time::Duration::ZERO, CancellationToken::new()).await;
    assert_eq!(bench.field("broken", "data").await.as_deref(), Some("\"{oops\""));
    assert_eq!(bench.field("broken", "unreadable:data").await.as_deref(), Some("{oops"));
    assert_eq!(bench.field("other", "data").await.as_deref(), Some("{\"a\":1}"), "valid JSON stays as it is");
}

#[tokio::test]
async fn id_that_is_not_utf8_delays_no_other_job() {
    let bench = Bench::start().await;
    write(&bench, b"\xff\xfe", &[]).await;
    write(&bench, "\u{fc}-\u{1F600}".as_bytes(), &[("name", b"\xff")]).await;
    bench.add(named("good")).await;
    let drained = bench.drain(done).await;
    assert_eq!(drained.completed, 2);
    assert_eq!(bench.queue.counts().await.expect("read").failed, 1);
    let listed = bench.queue.list(State::Failed, 0, 9, examhall_queue::ListOrder::NewestFirst).await.expect("listed");
    assert_eq!(listed[0].failed_reason.as_deref(), Some("the job's id is not UTF-8"));
    assert_eq!(bench.queue.clean(State::Failed, std::time::Duration::ZERO, 9).await.expect("cleaned").len(), 1);
}

#[tokio::test]
async fn ids_of_other_keys_are_dropped() {
    let bench = Bench::start().await;
    bench.add(named("good")).await;
    bench.queue.set_global_concurrency(Some(7)).await.expect("set");
    bench.redis.cmd::<i64>("RPUSH bull:email:wait meta events wait id marker none").await;
    assert_eq!(bench.drain(done).await.completed, 1);
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:wait bull:email:active").await, 0);
    assert_eq!(bench.redis.cmd::<String>("HGET bull:email:meta concurrency").await, "7");
}

#[tokio::test]
async fn data_is_passed_as_javascript_reads_it() {
    let bench = Bench::start().await;
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for (id, data) in [("cut", r#"{"to":"Party \ud83d"}"#), ("big", "[1e999]"), ("deep", deep.as_str())] {
        write(&bench, id.as_bytes(), &[("data", data.as_bytes())]).await;
    }
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = seen.clone();
    let drained = bench
        .drain(move |job: examhall_queue::Job<Value>| {
            keep.lock().expect("not poisoned").push((job.id, job.data));
            std::future::ready(Outcome::Completed(Value::Null))
        })
        .await;
    assert_eq!(drained.completed, 3);
    let seen = std::mem::take(&mut *seen.lock().expect("not poisoned"));
    assert!(seen.contains(&("cut".to_owned(), json!({"to": "Party \u{FFFD}"}))), "{seen:?}");
    assert_eq!(bench.field("cut", "data").await.as_deref(), Some(r#"{"to":"Party \ud83d"}"#), "it is not rewritten");

    write(&bench, b"raw", &[("data", br#""\ud83d""#)]).await;
    let queue = Queue::<Json>::new(connect(&bench.redis).await, "bull", "email").expect("good names");
    let handler = |job: examhall_queue::Job<Json>| async move { Outcome::Completed(job.data.as_str().into()) };
    let worker = Worker::new(queue, quick(), handler).expect("good options");
    worker.drain(std::time::Duration::ZERO, CancellationToken::new()).await;
    assert_eq!(bench.field("raw", "returnvalue").await.as_deref(), Some(r#""\"\\ud83d\"""#));
}

#[tokio::test]
async fn answers_of_polls_are_limited_in_bytes() {
    let bench = Bench::start().await;
    let text = "x".repeat(3 << 20);
    for n in 0..8 {
        let mut large = job(JobOptions::default().priority(n % 2));
        large.data = text.as_str().into();
        bench.queue.add(large).await.expect("added");
    }
    bench.redis.cmd::<String>("CONFIG RESETSTAT").await;
    let drained =
        bench.worker(quick().concurrency(64), done).drain(std::time::Duration::ZERO, CancellationToken::new()).await;
    assert_eq!(drained.completed, 8);
}
