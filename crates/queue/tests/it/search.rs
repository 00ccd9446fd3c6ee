//! Searches of jobs, and summaries without data.

use examhall_queue::{
    Failure, FoundJobs, Job, JobSearch, JobSummary, NewJob, Outcome, SearchPosition, SearchTerm, State,
};
use serde_json::{Value, json};

use crate::{Bench, named};

fn mail(id: &str, data: Value) -> NewJob<Value> {
    NewJob::new("send-email", data).options(named(id))
}

fn ids(found: &FoundJobs) -> Vec<&str> {
    found.jobs.iter().map(|job| job.id.as_str()).collect()
}

/// Queue with failed jobs to several recipients, and one with a large body.
async fn failed() -> Bench {
    let bench = Bench::start().await;
    let jobs = [
        mail("plain", json!({"to": "ada@x.example", "subject": "Exam moved", "html": "bob"})),
        mail(
            "list",
            json!({"to": ["Bob <BOB@x.example>", {"name": "Eve", "address": "eve@y.example"}], "subject": "ünsubscribed"}),
        ),
        mail("classed", json!({"to": "ada@x.example", "class": "result", "subject": "a \"b\" c/d"})),
        mail("large", json!({"to": "ada@x.example", "html": "x".repeat(40_000)})),
        NewJob::new("other", json!("no object")).options(named("odd")),
    ];
    bench.queue.add_all(&jobs).await.expect("added");
    let handler = |job: Job<Value>| async move {
        let reason = if job.id == "list" { "550 5.1.1 No such user".to_owned() } else { "x".repeat(9_000) };
        Outcome::Unrecoverable(Failure::new(reason))
    };
    bench.drain(handler).await;
    bench
}

#[tokio::test]
async fn jobs_are_found_by_data_reason_and_time() {
    let bench = failed().await;
    let find = async |search: JobSearch| bench.queue.search(&search, None, 50).await.expect("searched");
    let with = |term: SearchTerm| JobSearch::new(State::Failed).term(term);
    for (field, text, expected) in [
        ("to", "ada@x.example", vec!["classed", "plain"]),
        ("to", "bob", vec!["list"]),
        ("to", "EVE@Y.example", vec!["list"]),
        ("to", "carol", vec![]),
        ("subject", "moved", vec!["plain"]),
        ("subject", "ünsub", vec!["list"]),
        ("subject", "\"b\" c/d", vec!["classed"]),
    ] {
        let found = find(with(SearchTerm::fields([field], [text]))).await;
        let mut there = ids(&found);
        there.sort_unstable();
        assert_eq!((there, found.looked_at), (expected, 5), "{field} {text}");
        assert_eq!(found.unread, 1, "{field} {text}: the large one");
    }
    assert_eq!(ids(&find(with(SearchTerm::fields(["class"], ["result"]).whole())).await), ["classed"]);
    let other = find(with(SearchTerm::fields(["class"], ["other"]).whole().or_absent())).await;
    assert_eq!(other.jobs.len(), 2, "{:?}", ids(&other));
    assert_eq!(ids(&find(with(SearchTerm::reason("no SUCH"))).await), ["list"]);
    assert_eq!(ids(&find(with(SearchTerm::fields(["to"], ["no such"]).or_reason())).await), ["list"]);
    assert_eq!(ids(&find(JobSearch::new(State::Failed).reason_starts_with("550 ")).await), ["list"]);
    let now = bench.queue.server_time().await.expect("a time");
    assert_eq!(find(JobSearch::new(State::Failed).after(now + 1)).await.jobs, []);
    assert_eq!(find(JobSearch::new(State::Failed).before(now - 3_600_000)).await.jobs, []);
    assert_eq!(find(JobSearch::new(State::Failed).until(now)).await.jobs.len(), 5);
    assert_eq!(find(JobSearch::new(State::Completed)).await.jobs, []);
}

#[tokio::test]
async fn summaries_have_picked_fields_and_no_large_data() {
    let bench = failed().await;
    bench.redis.cmd::<String>("CONFIG RESETSTAT").await;
    let wanted: Vec<String> = ["plain", "none", "large", "meta", "odd"].map(ToOwned::to_owned).to_vec();
    let jobs = bench.queue.summaries(&wanted, &["to", "subject", "cc"]).await.expect("read");
    let of = |id: &str| -> &JobSummary { jobs.iter().find(|job| job.id == id).expect("there") };
    assert_eq!(jobs.len(), 3);
    let picked = of("plain").picked.as_ref().expect("fields");
    assert_eq!((picked["to"].as_str(), picked.get("cc"), picked.get("html")), (Some("ada@x.example"), None, None));
    assert_eq!((of("large").picked.as_ref(), of("odd").picked.as_ref()), (None, None));
    assert!(of("large").data_bytes > 40_000 && of("large").finished_on.is_some());
    assert_eq!(of("plain").failed_reason.as_ref().map(String::len), Some(8192));
    let sent: String = bench.redis.cmd("INFO stats").await;
    let bytes = sent.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).expect("a number");
    assert!(bytes.trim().parse::<u64>().expect("a number") < 40_000, "{bytes} bytes");
}

#[tokio::test]
async fn search_goes_on_where_it_stopped() {
    let bench = Bench::start().await;
    let jobs: Vec<_> = (0..7).map(|n| mail(&format!("j{n}"), json!({"to": format!("{}@x", n % 2)}))).collect();
    bench.queue.add_all(&jobs).await.expect("added");
    bench.redis.cmd::<String>("LMOVE bull:email:wait bull:email:paused RIGHT LEFT").await;
    for n in 0..7 {
        // All at one time, as in bulk.
        bench.redis.cmd::<i64>(&format!("ZADD bull:email:completed {} j{n}", 1000 + n / 5)).await;
    }
    let walk = async |search: JobSearch| {
        let (mut position, mut all) = (None::<SearchPosition>, Vec::new());
        loop {
            let found = bench.queue.search(&search, position.as_ref(), 2).await.expect("searched");
            assert!(found.jobs.len() <= 2);
            all.extend(found.jobs.into_iter().map(|job| job.id));
            let Some(next) = found.next else { return all };
            position = Some(next.to_string().parse().expect("a position"));
        }
    };
    assert_eq!(walk(JobSearch::new(State::Waiting)).await, ["j0", "j6", "j5", "j4", "j3", "j2", "j1"]);
    assert_eq!(walk(JobSearch::new(State::Completed)).await, ["j6", "j5", "j4", "j3", "j2", "j1", "j0"]);
    let odd = JobSearch::new(State::Waiting).term(SearchTerm::fields(["to"], ["1@x"]));
    assert_eq!(walk(odd).await, ["j5", "j3", "j1"]);
}
