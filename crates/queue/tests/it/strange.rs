//! Random queues of strange jobs, as other programs may write them: ids, values and options that no client of ours adds.
//! Nothing is lost or is in two states, nothing delays the jobs behind it, and getters write nothing.

use std::time::Duration;

use examhall_queue::{Attempts, Failure, Job, ListOrder, Outcome, State};
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::Value;

use crate::{Bench, named};

const IDS: [&[u8]; 22] = [
    b"plain",
    b"",
    b" ",
    b"a:b",
    b"a:b:c",
    b":",
    b"7",
    b"007",
    b"-1",
    b"1e3",
    b"9007199254740993",
    b"{x}",
    b"x}{",
    b"%s%d%",
    b"\xff\xfe",
    b"\xc3",
    "\u{fc}\u{1F600}".as_bytes(),
    b"line\nbreak",
    b"nul\x00",
    b"repeat:x:1",
    b"__proto__",
    b"[1]",
];
const DATA: [&[u8]; 16] = [
    b"{}",
    b"null",
    b"\"\\ud83d\"",
    b"[1e400,-1e400,-0]",
    b"12345678901234567890123456789",
    b"{oops",
    b"",
    b"\"\xff\"",
    b"-",
    b"\xef\xbb\xbf{}",
    b"{\"a\":1,\"a\":2}",
    b"\"\\u0000\"",
    b"[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
    b"NaN",
    b"'x'",
    b" 1 ",
];
const OPTS: [&[u8]; 30] = [
    b"{}",
    b"null",
    b"[]",
    b"7",
    b"\"x\"",
    b"{",
    b"\xff",
    b"-",
    b"{\"attempts\":-1}",
    b"{\"attempts\":\"3\"}",
    b"{\"attempts\":2.5}",
    b"{\"attempts\":1e99}",
    b"{\"attempts\":null}",
    b"{\"attempts\":2,\"backoff\":-5}",
    b"{\"attempts\":2,\"backoff\":{\"type\":\"exponential\",\"delay\":-1}}",
    b"{\"attempts\":2,\"backoff\":{\"type\":7}}",
    b"{\"attempts\":9,\"backoff\":{\"type\":\"exponential\",\"delay\":1e300}}",
    b"{\"attempts\":2,\"backoff\":{\"type\":\"fixed\",\"delay\":5,\"jitter\":7}}",
    b"{\"attempts\":2,\"backoff\":{\"type\":\"fixed\",\"delay\":5,\"jitter\":-3}}",
    b"{\"removeOnFail\":{\"age\":\"x\"}}",
    b"{\"removeOnComplete\":{\"count\":-1}}",
    b"{\"kl\":-1}",
    b"{\"stackTraceLimit\":-3,\"attempts\":2}",
    b"{\"stackTraceLimit\":1e99}",
    b"{\"lifo\":7,\"delay\":-5,\"priority\":1.5}",
    b"{\"de\":[]}",
    b"{\"de\":{\"id\":7,\"ttl\":-1}}",
    b"{\"parent\":{\"id\":[],\"queue\":1}}",
    b"{\"repeat\":1,\"repeatJobKey\":[]}",
    b"{\"sizeLimit\":-1,\"timestamp\":\"x\"}",
];
/// Fields that a job has in addition, each with its values.
const FIELDS: [(&str, &[&[u8]]); 14] = [
    ("name", &[b"-", b"", b"\xff"]),
    ("timestamp", &[b"-", b"x", b"-1", b"1e400"]),
    ("priority", &[b"-1", b"1.5", b"x", b"99999999999", b"nan"]),
    ("delay", &[b"-1", b"x", b"1e400"]),
    ("atm", &[b"-1", b"x", b"4294967296"]),
    ("ats", &[b"-1", b"x", b"1e400"]),
    ("stc", &[b"x", b"-1", b"1e400"]),
    ("deid", &[b"", b"d", b"\xff", b":"]),
    ("rjk", &[b"", b"none", b"\xff"]),
    ("parentKey", &[b"", b"x", b"bull:email:none", b"bull:email:", b"\xff"]),
    ("parent", &[b"{", b"null", b"{}", b"{\"id\":1,\"queueKey\":{}}"]),
    ("progress", &[b"{", b"", b"\xff"]),
    ("stacktrace", &[b"{", b"7", b"[1,null]", b"\xff"]),
    ("defa", &[b"", b"gone", b"\xff"]),
];
const PLACES: [(&str, &str); 10] = [
    ("wait", ""),
    ("wait", ""),
    ("wait", ""),
    ("active", ""),
    ("prioritized", "-5"),
    ("prioritized", "inf"),
    ("delayed", "-1"),
    ("delayed", "4096.5"),
    ("failed", "nan"),
    ("completed", "1"),
];

/// A job written by hand.
#[derive(Clone, Debug)]
struct Strange {
    data: &'static [u8],
    opts: &'static [u8],
    field: (&'static str, &'static [u8]),
    place: (&'static str, &'static str),
}

#[derive(Clone, Debug)]
struct World {
    jobs: Vec<Strange>,
    first_id: Index,
    /// An id that stands for no job.
    ghost: &'static str,
}

fn worlds() -> impl Strategy<Value = World> {
    let field = (select(&FIELDS[..]), any::<Index>()).prop_map(|((name, values), at)| (name, *at.get(values)));
    let job = (select(&DATA[..]), select(&OPTS[..]), field, select(&PLACES[..]))
        .prop_map(|(data, opts, field, place)| Strange { data, opts, field, place });
    let ghost = select(&["none", "meta", "events", "wait", "\u{1F600}", "1"][..]);
    (prop::collection::vec(job, 1..IDS.len()), any::<Index>(), ghost).prop_map(|(jobs, first_id, ghost)| World {
        jobs,
        first_id,
        ghost,
    })
}

/// Writes a job; all words are in hexadecimal digits: id, key of the state, score or '', field, value, ...
const WRITE: &str = "local words = {}
    for i, word in ipairs(ARGV) do
      words[i] = string.gsub(word, '..', function(byte) return string.char(tonumber(byte, 16)) end)
    end
    local id, state = words[1], 'bull:email:' .. words[2]
    redis.call('HSET', 'bull:email:' .. id, unpack(words, 4))
    if words[2] == 'wait' or words[2] == 'active' then return redis.call('LPUSH', state, id) end
    return redis.call('ZADD', state, words[3] == 'nan' and '0' or words[3], id)";

/// Returns ids that are in other than one state, in hexadecimal digits, with the number of states; of jobs and of others.
const CHECK: &str = "local found, jobs, bad = {}, {}, {}
    local function digits(id) return (string.gsub(id, '.', function(byte) return string.format('%02x', string.byte(byte)) end)) end
    for _, key in ipairs({'wait', 'paused', 'active'}) do
      for _, id in ipairs(redis.call('LRANGE', 'bull:email:' .. key, 0, -1)) do found[id] = (found[id] or 0) + 1 end
    end
    for _, key in ipairs({'prioritized', 'delayed', 'completed', 'failed', 'waiting-children'}) do
      for _, id in ipairs(redis.call('ZRANGE', 'bull:email:' .. key, 0, -1)) do found[id] = (found[id] or 0) + 1 end
    end
    for _, key in ipairs(redis.call('KEYS', 'bull:email:*')) do
      local id = string.sub(key, 12)
      if id ~= 'meta' and redis.call('TYPE', key).ok == 'hash' and not found[id] then found[id] = 0 end
    end
    for id, times in pairs(found) do
      if times ~= 1 then bad[#bad + 1] = digits(id) .. ' ' .. times end
    end
    return bad";

fn hex(word: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    word.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

impl World {
    fn id(&self, at: usize) -> &'static [u8] {
        IDS[(self.first_id.index(IDS.len()) + at) % IDS.len()]
    }

    async fn write(&self, bench: &Bench) {
        for (at, job) in self.jobs.iter().enumerate() {
            let mut fields: Vec<(&str, &[u8])> =
                vec![("name", b"x"), ("timestamp", b"1"), ("data", job.data), ("opts", job.opts)];
            fields.retain(|(name, _)| *name != job.field.0);
            fields.push(job.field);
            fields.push(("delay", b"0"));
            let set = fields.into_iter().filter(|(_, value)| *value != b"-");
            let set = set.flat_map(|(name, value)| [hex(name.as_bytes()), hex(value)]);
            let head = [hex(self.id(at)), hex(job.place.0.as_bytes()), hex(job.place.1.as_bytes())];
            let words: Vec<String> = head.into_iter().chain(set).collect();
            let words: Vec<&str> = ["EVAL", WRITE, "0"].into_iter().chain(words.iter().map(String::as_str)).collect();
            bench.redis.command::<i64>(&words).await;
        }
        bench.redis.command::<i64>(&["LPUSH", "bull:email:wait", self.ghost]).await;
    }
}

/// Returns a digest of all keys with their values.
async fn digest(bench: &Bench) -> String {
    const ALL: &str = "local keys, all = redis.call('KEYS', '*'), ''
        table.sort(keys)
        for _, key in ipairs(keys) do all = redis.sha1hex(all .. key .. redis.call('DUMP', key)) end
        return all";
    bench.redis.command(&["EVAL", ALL, "0"]).await
}

/// Calls the getters, of which none may write.
async fn read_all(bench: &Bench) -> Result<(), TestCaseError> {
    let failed = |what: &str, error: examhall_queue::Error| TestCaseError::fail(format!("{what}: {error}"));
    let (queue, before) = (&bench.queue, digest(bench).await);
    queue.counts().await.map_err(|error| failed("counts", error))?;
    queue.counts_per_priority(&[0, 1]).await.map_err(|error| failed("counts_per_priority", error))?;
    queue.oldest_waiting().await.map_err(|error| failed("oldest_waiting", error))?;
    queue.is_maxed().await.map_err(|error| failed("is_maxed", error))?;
    queue.job_schedulers(0, 9, ListOrder::OldestFirst).await.map_err(|error| failed("job_schedulers", error))?;
    for state in [State::Waiting, State::Prioritized, State::Delayed, State::Active, State::Completed, State::Failed] {
        for order in [ListOrder::OldestFirst, ListOrder::NewestFirst] {
            queue.list(state, 0, 50, order).await.map_err(|error| failed("list", error))?;
        }
    }
    let ids: Vec<String> = IDS.iter().filter_map(|id| Some(std::str::from_utf8(id).ok()?.to_owned())).collect();
    queue.states(&ids).await.map_err(|error| failed("states", error))?;
    for id in &ids {
        let _ = queue.logs(id, 0, 9).await;
        let _ = queue.dependencies(id).await;
        match queue.get(id).await {
            Ok(_) | Err(examhall_queue::Error::BadJobId { .. }) => {}
            Err(error) => return Err(failed("get", error)),
        }
    }
    prop_assert_eq!(digest(bench).await, before, "a getter has written");
    Ok(())
}

async fn in_one_state(bench: &Bench, after: &str) -> Result<(), TestCaseError> {
    let bad: Vec<String> = bench.redis.command(&["EVAL", CHECK, "0"]).await;
    prop_assert!(bad.is_empty(), "{after}: {bad:?}");
    Ok(())
}

async fn handle(job: Job<Value>) -> Outcome {
    match job.id.len() % 4 {
        0 => Outcome::Failed(Failure::new("boom")),
        1 => Outcome::Unrecoverable(Failure::new("boom")),
        _ => Outcome::Completed(job.data),
    }
}

async fn holds(bench: &Bench, world: &World) -> Result<(), TestCaseError> {
    bench.redis.cmd::<String>("FLUSHALL").await;
    world.write(bench).await;
    read_all(bench).await?;
    bench.add(named("good")).await;
    bench.drain(handle).await;
    in_one_state(bench, "after a worker").await?;
    let good = bench.queue.get("good").await.ok().flatten().map(|job| job.state);
    prop_assert_eq!(good, Some(State::Failed), "it has run");
    read_all(bench).await?;

    let failed = |error: examhall_queue::Error| TestCaseError::fail(error.to_string());
    bench.queue.retry_failed(None, Attempts::Reset).await.map_err(failed)?;
    bench.queue.promote_all().await.map_err(failed)?;
    in_one_state(bench, "after retries").await?;
    bench.queue.pause().await.map_err(failed)?;
    bench.queue.resume().await.map_err(failed)?;
    bench.drain(handle).await;
    in_one_state(bench, "after a second worker").await?;
    for state in [State::Waiting, State::Prioritized, State::Delayed, State::Completed, State::Failed] {
        bench.queue.clean(state, Duration::ZERO, 99).await.map_err(failed)?;
    }
    in_one_state(bench, "after cleaning").await
}

#[test]
fn strange_jobs_are_neither_lost_nor_in_the_way() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bench = runtime.block_on(Bench::start());
    let cases = if std::env::var_os("EXAMHALL_LONG").is_some() { 500 } else { 20 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&worlds(), |world| runtime.block_on(holds(&bench, &world)));
    runtime.block_on(async { drop(bench) });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
