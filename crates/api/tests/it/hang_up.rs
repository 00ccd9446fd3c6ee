//! Operators whose clients are gone before the answer is there.

use examhall_testkit::{World, eventually, free_port};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{Api, TIMEOUT};

#[tokio::test]
async fn a_write_is_finished_and_recorded_after_a_hang_up() {
    let (mut world, ops) = (World::start().await, format!("127.0.0.1:{}", free_port()));
    world.set("API_OPS_BIND", &ops);
    let api = Api::start_in(world).await;
    let admin = api.admin().await;
    let id = api.send_mail(&admin, "ada@example.com", "Result").await;
    api.fail(&id, "550 5.1.1 no such user").await;
    let in_flight = async |wanted: u32| {
        let line = format!("http_requests_in_flight {wanted}");
        let found = async || {
            let metrics = api.client.get(format!("http://{ops}/metrics")).send().await.ok()?.text().await.ok()?;
            metrics.lines().any(|one| one == line).then_some(())
        };
        eventually(&line, TIMEOUT, found).await;
    };
    in_flight(0).await;
    // Redis lets writers wait until their clients are gone.
    api.world.redis.cmd::<()>("CLIENT PAUSE 60000 WRITE").await;
    for (path, body) in [
        ("/emails/actions", json!({"action": "retry", "q": "state:failed"})),
        ("/suppressions", json!({"address": "bob@example.com"})),
    ] {
        let body = body.to_string();
        let head = format!(
            "POST /api/v1{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {admin}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(api.base.trim_start_matches("http://")).await.expect("connected");
        stream.write_all((head + &body).as_bytes()).await.expect("sent");
        in_flight(1).await;
        stream.set_zero_linger().expect("a TCP stream"); // a reset: after a mere end it could still read the answer
        drop(stream);
        in_flight(0).await;
    }
    api.world.redis.cmd::<()>("CLIENT UNPAUSE").await;
    let recorded = async || {
        let audit = api.expect(200, Method::GET, "/audit", &admin, &Value::Null).await;
        let filters: Vec<_> = audit["items"].as_array()?.iter().filter_map(|item| item["filter"].as_str()).collect();
        (filters.contains(&"state:failed") && filters.contains(&"to:bob@example.com")).then_some(())
    };
    eventually("both are recorded", TIMEOUT, recorded).await;
    assert_eq!(api.found(&admin, "state:failed").await, [""; 0]);
    api.expect(200, Method::GET, "/suppressions/bob@example.com", &admin, &Value::Null).await;
    api.stop().await;
}
