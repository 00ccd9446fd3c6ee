//! Tests of the crate's public interface, each on a redis-server of its own.

mod cluster;
mod failures;
mod fleet;
mod history;
mod leases;
mod ledger;
mod quota;
mod rate_limit;
mod reports;
mod suppressions;

use examhall_redis::Connection;
use examhall_testkit::Redis;

async fn connect(redis: &Redis) -> Connection {
    let connection = Connection::open(&redis.url()).expect("a good URL");
    connection.ready().await.expect("connected");
    connection
}
