use examhall_queue::{JobOptions, State};

#[tokio::test]
async fn only_jobs_of_the_given_state_lose_their_data() {
    let bench = crate::Bench::start().await;
    let add = async || bench.add(JobOptions::default()).await;
    let (done, failed, waiting) = (add().await, add().await, add().await);
    for (set, id) in [("completed", &done), ("failed", &failed)] {
        bench.redis.cmd::<i64>(&format!("LREM bull:email:wait 1 {id}")).await;
        bench.redis.cmd::<i64>(&format!("ZADD bull:email:{set} 1 {id}")).await;
    }
    let jobs = [done.clone(), failed.clone(), waiting.clone(), "gone".to_owned()].map(|id| (id, "{}".to_owned()));
    assert_eq!(
        bench.queue.replace_ended_data(State::Completed, &jobs).await.expect("wiped"),
        std::slice::from_ref(&waiting)
    );
    assert_eq!(bench.field(&done, "data").await.as_deref(), Some("{}"));
    assert_ne!(bench.field(&failed, "data").await.as_deref(), Some("{}"));
    assert_eq!(
        bench.queue.replace_ended_data(State::Failed, &jobs[1..]).await.expect("wiped"),
        std::slice::from_ref(&waiting)
    );
    assert_eq!(bench.field(&failed, "data").await.as_deref(), Some("{}"));
    assert_ne!(bench.field(&waiting, "data").await.as_deref(), Some("{}"));
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:gone").await, 0);
}
