use std::time::Duration;

use examhall_core::EmailJob;
use examhall_delivery::{Error, FailedMail, FailureSignature, Failures};
use examhall_testkit::Redis;

use crate::connect;

fn failed(job: &str, reason: &str, at: i64) -> FailedMail {
    FailedMail { job_id: job.to_owned(), signature: FailureSignature::of_reason(reason), at }
}

#[tokio::test]
async fn failed_mails_are_grouped_and_leave_their_group() {
    let redis = Redis::start().await;
    let failures = Failures::new(connect(&redis).await, EmailJob::FAILURES_KEY, Duration::from_hours(1));
    assert_eq!(failures.groups(0, 10).await.expect("read"), []);
    let full = FailureSignature {
        phase: Some("rcpt".to_owned()),
        code: Some(552),
        enhanced: Some("5.2.2".to_owned()),
        domain: Some("example.com".to_owned()),
        reason: None,
    };
    let of_server = FailedMail { job_id: "m-3".to_owned(), signature: full.clone(), at: 3_000 };
    failures
        .record(&[failed("m-1", "expired", 1_000), failed("m-2", "expired", 2_000), of_server])
        .await
        .expect("recorded");
    let groups = failures.groups(0, 10).await.expect("read");
    let shown: Vec<_> = groups.iter().map(|one| (&one.signature, one.count, one.jobs, one.sample.as_str())).collect();
    let expired = FailureSignature::of_reason("expired");
    assert_eq!(shown, [(&full, 1, 1, "m-3"), (&expired, 2, 2, "m-2")]);
    assert_eq!((groups[1].first_at.as_millis(), groups[1].last_at.as_millis()), (1_000, 2_000));
    assert_eq!(failures.groups(1, 10).await.expect("read"), groups[1..]);
    assert_eq!(failures.jobs(&expired.id(), 0, 10).await.expect("read"), ["m-1", "m-2"]);

    failures.record(&[failed("m-1", "withheld: x", 4_000)]).await.expect("recorded");
    assert_eq!(failures.jobs(&expired.id(), 0, 10).await.expect("read"), ["m-2"], "it failed in another way");
    failures.record(&[failed("m-4", "expired", 5_000)]).await.expect("recorded");
    let gone = |jobs: Vec<String>| async { Ok::<_, Error>(jobs.into_iter().filter(|id| id == "m-4").collect()) };
    failures.refresh(gone).await.expect("refreshed");
    assert_eq!(failures.jobs(&expired.id(), 0, 10).await.expect("read"), ["m-2"], "m-4 was retried by others");
    failures.forget(&["m-2".to_owned(), "m-9".to_owned()]).await.expect("forgotten");
    let left = failures.group(&expired.id()).await.expect("read").expect("known");
    assert_eq!((left.count, left.jobs), (3, 0));
    assert_eq!(failures.group("0000000000000000").await.expect("read"), None);
}

#[tokio::test]
async fn old_failures_and_excess_groups_are_forgotten() {
    let redis = Redis::start().await;
    let failures = Failures::new(connect(&redis).await, EmailJob::FAILURES_KEY, Duration::from_secs(10));
    failures.record(&[failed("m-1", "a", 1_000), failed("m-2", "b", 1_000)]).await.expect("recorded");
    failures.record(&[failed("m-3", "a", 12_000)]).await.expect("recorded");
    let groups = failures.groups(0, 10).await.expect("read");
    assert_eq!(groups.iter().map(|one| (one.count, one.jobs)).collect::<Vec<_>>(), [(2, 1)]);
    let word = |n: u32| {
        format!(
            "{}{}",
            char::from_u32('a' as u32 + n / 26).expect("a letter"),
            char::from_u32('a' as u32 + n % 26).expect("a letter")
        )
    };
    for n in 0..520 {
        failures.record(&[failed(&format!("j-{n}"), &word(n), 13_000 + i64::from(n))]).await.expect("recorded");
    }
    let count: i64 = redis.cmd("ZCARD mail:{failures}").await;
    let (jobs, keys): (i64, i64) = (redis.cmd("HLEN mail:{failures}:of").await, redis.cmd("DBSIZE").await);
    assert_eq!((count, jobs, keys), (500, 500, 1002));
}
