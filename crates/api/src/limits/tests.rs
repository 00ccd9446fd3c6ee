use examhall_testkit::{Redis, eventually};

use super::*;

fn client(n: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + n).to_be_bytes())
}

fn ada() -> EmailAddress {
    EmailAddress::parse("ada@example.com").expect("an address")
}

async fn with_redis() -> (Redis, Limits) {
    let redis = Redis::start().await;
    let connection = Connection::open(&redis.url()).expect("a URL");
    connection.ready().await.expect("connected");
    (redis, Limits::new(connection))
}

/// One guess; whether it is let through.
async fn guess(limits: &Limits, client: IpAddr) -> bool {
    let Ok(mut guess) = limits.log_in(client, &ada()).await else { return false };
    limits.log_in_by_all(&ada(), &mut guess).await.is_ok()
}

#[tokio::test]
async fn one_client_that_guesses_locks_out_only_itself() {
    let (_redis, limits) = with_redis().await;
    let mut granted = 0;
    for _ in 0..1100 {
        granted += i32::from(guess(&limits, client(1)).await);
    }
    assert!((30..35).contains(&granted), "{granted}");
    assert!(guess(&limits, client(2)).await);
}

#[tokio::test]
async fn one_line_with_many_networks_locks_out_only_itself() {
    let (_redis, limits) = with_redis().await;
    for (networks, most) in [(0x100, 70), (0x1_0000, 140)] {
        let mut granted = 0;
        for n in 0..1500_u128 {
            let guesser = 0x2001_0db8_0001_0000_0000_0000_0000_0001 | ((n * 7) % networks) << 64;
            granted += i32::from(guess(&limits, IpAddr::from(guesser.to_be_bytes())).await);
        }
        assert!(granted < most, "{granted} guesses from {networks} networks of one line");
    }
    assert!(guess(&limits, client(1)).await && guess(&limits, "2001:db8:2::1".parse().expect("an address")).await);
}

#[tokio::test]
async fn guesses_from_everywhere_are_limited_together() {
    let (_redis, limits) = with_redis().await;
    let mut granted = 0;
    while guess(&limits, client(granted)).await {
        granted += 1;
    }
    assert!((1000..1200).contains(&granted), "{granted}");
    let bob = EmailAddress::parse("bob@example.com").expect("an address");
    let mut guess = limits.log_in(client(0), &bob).await.expect("let through");
    assert!(limits.log_in_by_all(&bob, &mut guess).await.is_ok());
}

#[tokio::test]
async fn writes_of_one_user_are_limited_and_of_others_not() {
    let limits = Limits::new(Connection::open("redis://127.0.0.1:1").expect("a URL"));
    let viewer = |n, role| Viewer { id: UserId(uuid::Uuid::from_u128(n)), role };
    let granted = |who, count| (0..count).filter(|_| limits.write(who).is_ok()).count();
    assert!((100..150).contains(&granted(viewer(1, Role::Student), 500)));
    assert_eq!(granted(viewer(2, Role::Student), 100), 100);
    assert_eq!(granted(viewer(3, Role::Author), 1000), 1000);
}

#[tokio::test]
async fn a_right_password_takes_nothing_from_the_guesses() {
    let (_redis, limits) = with_redis().await;
    let unreachable = Limits::new(Connection::open("redis://127.0.0.1:1").expect("a URL"));
    for limits in [&limits, &unreachable] {
        let home: IpAddr = "2001:db8::7".parse().expect("an address");
        for n in 0..100 {
            let mut guess = limits.log_in(home, &ada()).await.unwrap_or_else(|_| unreachable!("login {n}"));
            limits.log_in_by_all(&ada(), &mut guess).await.expect("let through");
            limits.was_right(guess).await;
        }
        let mut granted = 0;
        while guess(limits, home).await {
            granted += 1;
        }
        assert!(granted >= 5, "{granted} guesses after a hundred logins");
    }
}

#[tokio::test]
async fn one_line_uses_up_its_own_share_of_the_auth_routes() {
    let (redis, limits) = with_redis().await;
    let unreachable = Limits::new(Connection::open("redis://127.0.0.1:1").expect("a URL"));
    let from = |line: u128, n: u128| IpAddr::from((0x2001_0db8 << 96 | line << 80 | n << 64).to_be_bytes());
    for rule in ["client", "client56", "client48", "session", "session56", "session48"] {
        // A key lives for half a second, and a slow machine may need longer to look.
        eventually(rule, Duration::from_secs(10), || async {
            assert!(limits.client(from(1, 0)).await.is_ok() && limits.session(from(1, 0)).await.is_ok());
            (redis.cmd::<i64>(&format!("EXISTS limit:{rule}:2001:db8:1::")).await == 1).then_some(())
        })
        .await;
    }
    for (line, networks, rate) in [(1, 0x100, 120), (2, 0x1_0000, 240)] {
        let (started, mut granted) = (Instant::now(), 0);
        for n in 0..rate * 2 {
            granted += u64::from(unreachable.client(from(line, n % networks)).await.is_ok());
        }
        let most = 1 + u64::try_from(rate).expect("few") * (60 + 1 + started.elapsed().as_secs()) / 60;
        assert!(granted <= most, "{granted} requests from {networks} networks of one line");
    }
    assert!(unreachable.client(from(7, 0)).await.is_ok() && unreachable.client(client(1)).await.is_ok());
}

#[tokio::test]
async fn without_redis_no_crowd_closes_the_login_to_newcomers() {
    let limits = Limits::new(Connection::open("redis://127.0.0.1:1").expect("a URL"));
    // One line with all its networks, and a crowd that is larger than the table.
    for n in 0..12_000_u32 {
        let line = 0x2001_0db8_0001_0000_0000_0000_0000_0001 | u128::from(n) << 64;
        let _ = limits.client(IpAddr::from(line.to_be_bytes())).await;
        assert!(limits.client(client(n)).await.is_ok() && limits.log_in(client(n), &ada()).await.is_ok(), "{n}");
    }
}
