use super::*;

fn claim(duration: Duration, fence: Option<Duration>) -> Claim {
    let fence = fence.map(|after| Fence { after, is_up: Arc::new(AtomicBool::new(true)) });
    let (id, token, since) = ("7".into(), "t:1".into(), Instant::now());
    Claim::with(Lease { id, token, keep_logs: 0, duration, since, fence }, None, Hooks::default())
}

#[tokio::test]
async fn claim_is_lost_once_it_is_revoked() {
    let claim = claim(Duration::from_secs(60), None);
    assert!(!claim.is_lost());
    claim.revoke();
    assert!(claim.is_lost());
    claim.lost().await;
}

#[tokio::test]
async fn claim_is_lost_unless_it_is_renewed_in_time() {
    let claim = claim(Duration::from_millis(30), None);
    let (sent, duration) = (Instant::now(), Duration::from_millis(60));
    claim.renew(sent, duration);
    claim.lost().await;
    assert!(Instant::now() >= sent + duration);
}

#[tokio::test]
async fn silent_worker_has_lost_its_claims_until_it_is_heard() {
    let fence = Duration::from_millis(20);
    let claim = claim(Duration::from_secs(60), Some(fence));
    tokio::time::sleep(fence).await;
    assert!(claim.is_lost(), "although its lock lasts");
    {
        let mut lost = std::pin::pin!(claim.lost());
        let waited = tokio::time::timeout(fence, &mut lost).await;
        assert!(waited.is_err(), "a late heartbeat may come");
        claim.beaten(Instant::now() + Duration::from_secs(2));
        assert!(tokio::time::timeout(CONFIRMS_WITHIN + fence, lost).await.is_err());
    }
    assert!(!claim.is_lost());
    claim.lost().await;
    assert!(claim.is_lost());
}
