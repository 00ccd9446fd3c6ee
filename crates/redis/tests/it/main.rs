//! Tests on redis-servers of their own.

use std::time::Duration;

use examhall_redis::{Connection, ConnectionOptions, Invalidated, Route, Script, Value};
use examhall_testkit::{Proxy, Redis, eventually};

const TIMEOUT: Duration = Duration::from_secs(30);

static DOUBLE: Script = Script::new("return tonumber(ARGV[1]) * 2", Duration::from_secs(2));

async fn connect(redis: &Redis) -> Connection {
    let connection = Connection::open(&redis.url()).expect("a good URL");
    tokio::time::timeout(TIMEOUT, connection.ready()).await.expect("in time").expect("connected");
    connection
}

#[test]
fn unknown_schemes_are_refused() {
    for url in ["", "localhost:6379", "http://localhost", "redis:/x", "redis://[::1"] {
        assert!(Connection::open(url).is_err_and(|error| error.is_bad_url() && !error.is_transient()), "{url}");
    }
}

/// Callers begin to wait at every moment of the making of a connection, also between its last step and its announcement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_never_misses_a_connection() {
    let redis = Redis::start().await;
    for _ in 0..3 {
        let connection = Connection::open(&redis.url()).expect("a good URL");
        let mut waiters = Vec::new();
        while !connection.is_connected() {
            // More would leave a busy machine no time to connect.
            if waiters.len() < 2_000 {
                let connection = connection.clone();
                waiters.push(tokio::spawn(async move { connection.ready().await }));
            }
            tokio::task::yield_now().await;
        }
        for waiter in waiters {
            let waited = tokio::time::timeout(TIMEOUT, waiter).await.expect("in time");
            waited.expect("no panic").expect("connected");
        }
    }
}

#[tokio::test]
async fn a_script_runs_also_after_the_server_forgot_it() {
    let redis = Redis::start().await;
    let connection = connect(&redis).await;
    for _ in 0..2 {
        assert_eq!(connection.eval::<i64>(&DOUBLE, &["key"], vec![21.into()]).await.expect("run"), 42);
        redis.cmd::<()>("SCRIPT FLUSH").await;
    }
}

#[tokio::test]
async fn refusals_have_a_code_and_absence_is_transient() {
    let mut redis = Redis::start().await;
    let connection = connect(&redis).await;
    redis.cmd::<i64>("RPUSH list 1").await;
    let refused = connection.get("list").await.expect_err("a list");
    assert_eq!((refused.code(), refused.is_transient()), (Some("WRONGTYPE"), false), "{refused}");
    redis.kill().await;
    let absent = eventually("Redis to be away", TIMEOUT, async || connection.ping().await.err()).await;
    assert!(absent.is_transient() && absent.is_unanswered() && absent.code().is_none(), "{absent}");
    assert!(!connection.answered_within(Duration::ZERO));
    redis.restart().await;
    eventually("Redis to be back", TIMEOUT, async || connection.ping().await.ok()).await;
    assert_eq!(connection.times_made(), 2);
}

#[tokio::test]
async fn writes_of_others_are_reported_until_the_connection_is_lost() {
    let redis = Redis::start().await;
    let connection = connect(&redis).await;
    let (mut pushes, mut links) = (connection.invalidations(), connection.link_events());
    assert!(!connection.is_tracking(TIMEOUT).await.expect("answered"));
    for _ in 0..2 {
        connection.track(vec!["exam:".to_owned()]).await.expect("tracked"); // again: nothing but on
    }
    assert!(connection.is_tracking(TIMEOUT).await.expect("answered"));
    redis.cmd::<()>("SET exam:1 x").await;
    let message = tokio::time::timeout(TIMEOUT, pushes.next()).await.expect("in time");
    assert_eq!(message, Invalidated::Keys(vec!["exam:1".to_owned()]));
    redis.cmd::<()>("SET other:1 x").await;
    connection.ping().await.expect("answered");
    assert_eq!(pushes.try_next(), None, "of another space");
    let id = connection.client_id(Route::Any).await.expect("answered");
    redis.cmd::<i64>(&format!("CLIENT KILL ID {id}")).await;
    tokio::time::timeout(TIMEOUT, links.interrupted()).await.expect("in time");
    eventually("a new connection, which reports nothing", TIMEOUT, async || {
        connection.is_tracking(TIMEOUT).await.ok().filter(|is_tracking| !is_tracking)
    })
    .await;
    assert_ne!(connection.client_id(Route::Any).await.expect("answered"), id);
}

#[tokio::test]
async fn a_client_of_the_callers_own_can_be_shared() {
    let redis = Redis::start().await;
    let config = fred::types::config::Config::from_url(&redis.url()).expect("a good URL");
    let own = Connection::from_config(config, ConnectionOptions::default()).expect("a good configuration");
    own.ready().await.expect("connected");
    own.set("greeting", "hello".to_owned(), 60).await.expect("set");
    assert_eq!(own.get("greeting").await.expect("read").as_deref(), Some("hello"));
    let mut builder = fred::types::Builder::default_centralized();
    builder.set_config(fred::types::config::Config::from_url(&redis.url()).expect("a good URL"));
    let client = builder.build().expect("a client");
    let shared = Connection::from_client(client.clone());
    fred::interfaces::ClientLike::init(&client).await.expect("connected");
    assert_eq!(shared.get("greeting").await.expect("read").as_deref(), Some("hello"));
    let answer: Value = shared.command("STRLEN", Route::Key("greeting"), vec!["greeting".into()]).await.expect("run");
    assert_eq!(answer.as_i64(), Some(5));
    let through_sentinel = Connection::open("redis-sentinel://127.0.0.1:1?sentinelServiceName=a").expect("a good URL");
    for connection in [shared, through_sentinel] {
        let refused = connection.use_login("redis://ada:secret@127.0.0.1");
        assert!(refused.is_err_and(|error| error.is_bad_url()), "who made it logs it in");
    }
}

#[tokio::test]
async fn reconnects_of_the_past_wake_nobody() {
    let redis = Redis::start().await;
    let connection = connect(&redis).await;
    let (mut links, mut waiting) = (connection.link_events(), connection.link_events());
    for times in 2..=4 {
        redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        let made = async || (connection.times_made() == times && connection.is_connected()).then_some(());
        eventually("the link is back", TIMEOUT, made).await;
    }
    let soon = Duration::from_millis(50);
    tokio::time::timeout(TIMEOUT, waiting.reconnected()).await.expect("it has reconnected");
    assert!(tokio::time::timeout(soon, waiting.reconnected()).await.is_err(), "three of them count once");
    links.skip_reconnects();
    assert!(tokio::time::timeout(soon, links.reconnected()).await.is_err(), "none since then");
    redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
    tokio::time::timeout(TIMEOUT, links.reconnected()).await.expect("another");
}

#[tokio::test]
async fn checked_login_leaves_no_connection() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.port()).await;
    let connection = Connection::open(&format!("redis://127.0.0.1:{}", proxy.port())).expect("a good URL");
    connection.ready().await.expect("connected");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let sockets = async || redis.cmd::<String>("CLIENT LIST").await.lines().count();
    let (tasks_before, sockets_before) = (tasks(), sockets().await);
    connection.check_login().await.expect("a good login");
    for _ in 0..3 {
        proxy.hold_from(&["redis"]); // which the answer to HELLO contains
        let dropped = tokio::time::timeout(Duration::from_millis(100), connection.check_login()).await;
        assert!(dropped.is_err(), "the login is held back");
        proxy.release();
    }
    let wrong = Connection::open(&format!("redis://nobody:wrong@127.0.0.1:{}", proxy.port())).expect("a good URL");
    wrong.check_login().await.expect_err("a wrong password");
    drop(wrong);
    let closed = async || (sockets().await == sockets_before).then_some(());
    eventually("the sockets are closed", TIMEOUT, closed).await;
    eventually("the tasks have ended", TIMEOUT, async || (tasks() <= tasks_before).then_some(())).await;
}

#[tokio::test]
async fn silent_link_is_replaced_in_bounded_time() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.port()).await;
    let (timeout, unresponsive) = (Duration::from_millis(200), Duration::from_secs(1));
    let options = ConnectionOptions::default().command_timeout(timeout).unresponsive_after(unresponsive);
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let connection = Connection::open_with(&url, options).expect("a good URL");
    let blocking = connection.duplicate();
    for connection in [&connection, &blocking] {
        connection.ready().await.expect("connected");
    }
    proxy.silence();
    let wait = Duration::from_millis(100);
    let args = || vec!["list".into(), "0.1".into()];
    let blocked = blocking.blocking::<Value>("BLPOP", Route::Any, args(), wait).await.expect_err("no answer");
    assert!(blocked.is_transient(), "{blocked}");
    eventually("the main link is replaced", TIMEOUT, async || connection.ping().await.ok()).await;
    let pops = async || blocking.blocking::<Value>("BLPOP", Route::Any, args(), wait).await.ok();
    eventually("the blocking link is replaced", TIMEOUT, pops).await;
    assert_eq!((connection.times_made(), blocking.times_made()), (2, 2));
}

#[tokio::test]
async fn dropped_connection_leaves_no_socket_and_no_task() {
    let mut redis = Redis::start().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let sockets = async |redis: &Redis| redis.cmd::<String>("CLIENT LIST").await.lines().count();
    let (tasks_before, sockets_before) = (tasks(), sockets(&redis).await);
    for _ in 0..5 {
        let connection = connect(&redis).await;
        let clone = connection.clone();
        drop(connection);
        clone.ping().await.expect("a clone keeps it");
        drop((clone.duplicate(), clone));
    }
    let closed = async || (sockets(&redis).await == sockets_before).then_some(());
    eventually("the sockets are closed", TIMEOUT, closed).await;
    eventually("the tasks have ended", TIMEOUT, async || (tasks() <= tasks_before).then_some(())).await;
    // While the server is away.
    let connection = connect(&redis).await;
    redis.kill().await;
    eventually("Redis to be away", TIMEOUT, async || connection.ping().await.err()).await;
    let with_connection = tasks();
    drop(connection);
    eventually("the task of the connection has ended", TIMEOUT, async || (tasks() < with_connection).then_some(()))
        .await;
}

#[tokio::test]
async fn a_new_password_is_used_for_what_connects_again() {
    let redis = Redis::start().await;
    redis.cmd::<String>("ACL SETUSER ada on >before ~* &* +@all").await;
    let url = |password: &str| format!("redis://ada:{password}@127.0.0.1:{}", redis.port());
    let connection = Connection::open(&url("before")).expect("a good URL");
    let both = [connection.clone(), connection.duplicate()];
    for connection in &both {
        tokio::time::timeout(TIMEOUT, connection.ready()).await.expect("in time").expect("connected");
    }
    redis.cmd::<String>("ACL SETUSER ada >after <before").await;
    redis.cmd::<i64>("CLIENT KILL USER ada").await;
    eventually("both to be refused", TIMEOUT, async || {
        both.iter().all(|connection| !connection.is_connected()).then_some(())
    })
    .await;
    assert!(connection.use_login("http://ada:after@127.0.0.1").is_err_and(|error| error.is_bad_url()));
    connection.use_login(&url("after")).expect("a good URL");
    for connection in &both {
        eventually("an answer", TIMEOUT, async || connection.ping().await.ok()).await;
    }
}
