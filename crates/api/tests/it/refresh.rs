use examhall_testkit::{DatabaseKind, World};
use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{Api, auth::log_in_tokens, on_both, problem};

on_both!(
    session_is_refreshed_and_a_stolen_token_ends_it,
    four_tabs_refresh_at_once_and_each_goes_on,
    lost_answer_is_asked_for_again,
    logout_ends_the_sessions_of_all_tabs,
);

async fn refresh(api: &Api, tokens: &Value) -> Response {
    api.post("/api/v1/auth/refresh", &json!({"refreshToken": tokens["refreshToken"]})).await
}

async fn refreshed(api: &Api, tokens: &Value) -> Value {
    let answer = refresh(api, tokens).await;
    assert_eq!(answer.status(), 200);
    let next: Value = answer.json().await.expect("JSON");
    let access = next["accessToken"].as_str().expect("a token");
    api.expect(200, Method::GET, "/users/me", access, &Value::Null).await;
    next
}

async fn log_in(api: &Api) -> Value {
    let seeded = api.seed().await;
    log_in_tokens(api, seeded["authorEmail"].as_str().expect("text"), "examhall-demo").await
}

/// Makes all rotations half a minute older.
async fn pass_grace(world: &World) {
    world.database.sql("UPDATE sessions SET rotated_at = rotated_at - 30000").await;
}

async fn session_is_refreshed_and_a_stolen_token_ends_it(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let first = log_in(&api).await;
    let second = refreshed(&api, &first).await;
    pass_grace(&api.world).await;
    problem(refresh(&api, &first).await, 401).await;
    problem(refresh(&api, &second).await, 401).await;
    api.stop().await;
}

async fn four_tabs_refresh_at_once_and_each_goes_on(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let first = log_in(&api).await;
    let tabs = join_all((0..4).map(|_| refreshed(&api, &first))).await;
    pass_grace(&api.world).await;
    for tokens in join_all(tabs.iter().map(|tab| refreshed(&api, tab))).await {
        refreshed(&api, &tokens).await;
    }
    api.stop().await;
}

async fn lost_answer_is_asked_for_again(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let first = log_in(&api).await;
    drop(refresh(&api, &first).await);
    let second = refreshed(&api, &first).await;
    pass_grace(&api.world).await;
    refreshed(&api, &second).await;
    api.stop().await;
}

async fn logout_ends_the_sessions_of_all_tabs(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let first = log_in(&api).await;
    let tabs = join_all((0..3).map(|_| refreshed(&api, &first))).await;
    let body = json!({"refreshToken": tabs[1]["refreshToken"]});
    for _ in 0..2 {
        assert_eq!(api.post("/api/v1/auth/logout", &body).await.status(), 204);
    }
    for tokens in tabs.iter().chain([&first]) {
        problem(refresh(&api, tokens).await, 401).await;
    }
    api.stop().await;
}
