//! Students are invited by mail, and make an account by the link in it.
#![expect(clippy::print_stdout, reason = "how long things took, for those who run the tests")]

use std::{fmt::Write, time::Instant};

use examhall_testkit::DatabaseKind;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{Api, attempts::Hall, auth::log_in_tokens, on_both, pages, problem, revoked::Other};

const NOTHING: &Value = &Value::Null;
const PASSWORD: &str = "battery staple";

on_both!(
    two_processes_invite_each_student_once,
    an_invitation_makes_an_account_with_a_seat,
    a_link_that_is_good_for_nothing_makes_no_account,
    two_processes_make_one_account_of_a_link,
    ten_thousand_are_invited_at_once,
);

/// An exam with a roster of these; the first student that was seeded is on it.
async fn hall_with(database: DatabaseKind, guests: &[&str]) -> Hall {
    let hall = Hall::open(database, json!({"access": "roster"})).await;
    let mut students = vec![json!({"email": hall.emails[0], "name": "Ada"})];
    students.extend(guests.iter().map(|email| json!({"email": email, "name": "Grace Hopper"})));
    hall.as_author(200, Method::PUT, &format!("{}/roster", hall.exam), &json!({"students": students})).await;
    hall
}

async fn invite(hall: &Hall, body: &Value) -> Value {
    hall.as_author(202, Method::POST, &format!("{}/invitations", hall.exam), body).await
}

/// The token in the newest invitation of an address.
async fn token(api: &Api, email: &str, count: usize) -> String {
    let mail = api.mails_to(email, count).await.pop().expect("a mail");
    let text = mail["text"].as_str().expect("text");
    let after = text.split("/invitation?token=").nth(1).expect("a link");
    after.split_whitespace().next().expect("a token").to_owned()
}

async fn accept_at(api: &Api, base: &str, token: &str) -> Response {
    let body = json!({"token": token, "name": "Grace", "password": PASSWORD});
    api.client.post(format!("{base}/api/v1/auth/invitation")).json(&body).send().await.expect("an answer")
}

async fn two_processes_invite_each_student_once(database: DatabaseKind) {
    let hall = hall_with(database, &["grace@example.com", "bob@example.com"]).await;
    let other = Other::start(&hall.api.world).await;
    let path = format!("/api/v1{}/invitations", hall.exam);
    let post = async |base: &str| {
        let request = hall.api.client.post(format!("{base}{path}")).bearer_auth(&hall.author);
        let answer = request.header("accept-language", "de").send().await.expect("an answer");
        assert_eq!(answer.status(), 202);
        answer.json::<Value>().await.expect("JSON")["queued"].as_u64().expect("a number")
    };
    let (one, two) = tokio::join!(post(&hall.api.base), post(&other.base));
    assert_eq!((one + two, invite(&hall, NOTHING).await), (3, json!({"queued": 0})));
    let mail = hall.api.mails_to("grace@example.com", 1).await.remove(0);
    assert_eq!((&mail["subject"], &mail["class"]), (&json!("Einladung: Algebra"), &json!("invitation")));
    let text = mail["text"].as_str().expect("text");
    assert!(text.starts_with("Guten Tag Grace Hopper,"), "{text}");
    assert!(mail["html"].as_str().is_some_and(|html| html.contains("/invitation?token=")), "{mail}");
    assert!(mail["expiresAt"].is_string(), "{mail}");
    let priorities = hall.api.world.database.sql("SELECT DISTINCT priority FROM mail_outbox").await;
    assert_eq!(priorities, "3");
    let roster = hall.as_author(200, Method::GET, &format!("{}/roster", hall.exam), NOTHING).await;
    let all = roster["items"].as_array().expect("students");
    assert!(all.iter().all(|student| student["invitedAt"].is_string()), "{roster}");

    let again = json!({"emails": ["Grace@example.com"], "locale": "en"});
    assert_eq!(invite(&hall, &again).await["queued"], 0, "within the same minute");
    hall.api.world.database.sql("UPDATE seats SET invited_at = invited_at - 60000").await;
    assert_eq!(invite(&hall, &again).await["queued"], 1);
    let mails = hall.api.mails_to("grace@example.com", 2).await;
    assert!(mails.iter().any(|mail| mail["subject"] == "Invitation: Algebra"), "{mails:?}");
    let path = format!("{}/invitations", hall.exam);
    for (body, pointer) in [
        (json!({"emails": ["grace@example.com", "nobody@example.com"]}), "/emails/1"),
        (json!({"emails": ["nonsense"]}), "/emails/0"),
        (json!({"emails": "grace@example.com"}), "/emails"),
        (json!({"locale": "de_DE"}), "/locale"),
    ] {
        let refused = hall.as_author(422, Method::POST, &path, &body).await;
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    let audit = hall.as_author(200, Method::GET, &format!("{}/audit?limit=2", hall.exam), NOTHING).await;
    let recorded = [0, 1].map(|n| (audit["items"][n]["action"].clone(), audit["items"][n]["affected"].clone()));
    assert_eq!(recorded, [(json!("invite students"), json!(1)), (json!("invite students"), json!(3))]);
    hall.as_author(200, Method::POST, &format!("{}/close", hall.exam), NOTHING).await;
    hall.as_author(409, Method::POST, &path, NOTHING).await;
    hall.api.stop().await;
}

async fn an_invitation_makes_an_account_with_a_seat(database: DatabaseKind) {
    let hall = hall_with(database, &["grace@example.com"]).await;
    assert_eq!(invite(&hall, NOTHING).await["queued"], 2);
    let link = token(&hall.api, "grace@example.com", 1).await;
    let page = hall.api.get(&format!("/invitation?token={link}")).await;
    assert_eq!(
        (page.status().as_u16(), &page.headers()["referrer-policy"]),
        (200, &"no-referrer".parse().expect("one"))
    );
    let page = page.text().await.expect("a page");
    for part in ["Algebra", "value=\"Grace Hopper\"", "<button", &link] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let send = async |name: &str, password: &str| {
        let fields = [("token", link.as_str()), ("name", name), ("password", password)];
        let answer = pages::send(&hall.api, "/invitation", &fields).await;
        (answer.status().as_u16(), answer.text().await.expect("a page"))
    };
    let (status, page) = send("https://evil.example", PASSWORD).await;
    assert!(status == 422 && page.contains("This name cannot be taken") && !page.contains("This password"), "{page}");
    let (status, page) = send("Grace", "password1").await;
    assert!(status == 422 && page.contains("most common") && page.contains("value=\"Grace\""), "{page}");
    let (status, page) = send("Grace", "grace@example.com").await;
    assert!(status == 422 && page.contains("must not be your name"), "{page}");
    let (status, page) = send("Grace", PASSWORD).await;
    assert!(status == 200 && page.contains("is ready"), "{page}");
    let tokens = log_in_tokens(&hall.api, "grace@example.com", PASSWORD).await;
    let grace = tokens["accessToken"].as_str().expect("a token");
    hall.api.expect(201, Method::POST, &format!("{}/attempts", hall.exam), grace, NOTHING).await;
    assert_eq!(hall.api.mails_to("grace@example.com", 1).await.len(), 1, "no verification mail");

    let (status, page) = send("Mallory", "another staple").await;
    assert!(status == 409 && page.contains("Log in with it"), "it works once: {page}");
    problem(accept_at(&hall.api, &hall.api.base, &link).await, 409).await;
    let page = hall.api.get(&format!("/invitation?token={link}")).await.text().await.expect("a page");
    assert!(page.contains("Log in with it") && !page.contains("<form"), "{page}");
    log_in_tokens(&hall.api, "grace@example.com", PASSWORD).await;
    // Who had an account before is led to their login.
    let link = token(&hall.api, &hall.emails[0], 1).await;
    let page = hall.api.request(Method::GET, &format!("/invitation?token={link}")).header("accept-language", "de");
    let page = page.send().await.expect("an answer").text().await.expect("a page");
    assert!(page.contains("schon ein Konto") && !page.contains("<form"), "{page}");
    problem(accept_at(&hall.api, &hall.api.base, &link).await, 409).await;
    hall.begin(0).await;
    hall.api.stop().await;
}

async fn a_link_that_is_good_for_nothing_makes_no_account(database: DatabaseKind) {
    let guests = ["a@example.com", "b@example.com", "c@example.com", "d@example.com"];
    let hall = hall_with(database, &guests).await;
    invite(&hall, NOTHING).await;
    let link = token(&hall.api, guests[0], 1).await;
    let altered = format!("{}{}", if link.starts_with('A') { 'B' } else { 'A' }, &link[1..]);
    let expired = token(&hall.api, guests[1], 1).await;
    hall.api.world.database.sql("UPDATE invitations SET expires_at = 1 WHERE email_key = 'b@example.com'").await;
    let removed = token(&hall.api, guests[2], 1).await;
    hall.as_author(204, Method::DELETE, &format!("{}/roster/{}", hall.exam, guests[2]), NOTHING).await;
    for bad in [&altered, &expired, &removed, &"x".repeat(300)] {
        let status = if bad.len() > 200 { 422 } else { 400 };
        problem(accept_at(&hall.api, &hall.api.base, bad).await, status).await;
        let fields = [("token", bad.as_str()), ("name", "Grace"), ("password", PASSWORD)];
        let pages = [
            hall.api.get(&format!("/invitation?token={bad}")).await,
            pages::send(&hall.api, "/invitation", &fields).await,
        ];
        for page in pages {
            assert_eq!(page.status(), 400, "{bad}");
            let page = page.text().await.expect("a page");
            assert!(page.contains("does not work") && !page.contains("<form"), "{page}");
        }
    }
    // Somebody signs up with the address meanwhile: until it is proven, the invitation's owner has it.
    let registered = token(&hall.api, guests[3], 1).await;
    assert_eq!(hall.api.sign_up(guests[3]).await.status(), 202);
    let verification = hall.api.mails_to(guests[3], 2).await;
    let stranger = verification.iter().find(|mail| mail["class"] == "verification").expect("a mail");
    assert_eq!(accept_at(&hall.api, &hall.api.base, &registered).await.status(), 200);
    let body = json!({"token": Api::token_in(stranger)});
    problem(hall.api.post("/api/v1/auth/verify", &body).await, 400).await;
    log_in_tokens(&hall.api, guests[3], PASSWORD).await;
    // Somebody signs up and proves it: the link leads to their login.
    assert_eq!(hall.api.sign_up(guests[0]).await.status(), 202);
    let mails = hall.api.mails_to(guests[0], 2).await;
    let mine = mails.iter().find(|mail| mail["class"] == "verification").expect("a mail");
    let verified = hall.api.post("/api/v1/auth/verify", &json!({"token": Api::token_in(mine)})).await;
    assert_eq!(verified.status(), 200);
    problem(accept_at(&hall.api, &hall.api.base, &link).await, 409).await;
    log_in_tokens(&hall.api, guests[0], "correct horse").await;
    let accounts = hall.api.world.database.sql("SELECT count(*) FROM users WHERE email LIKE '_@example.com'").await;
    assert_eq!(accounts, "2");
    hall.api.stop().await;
}

async fn two_processes_make_one_account_of_a_link(database: DatabaseKind) {
    let guests: Vec<_> = (0..5).map(|n| format!("guest{n}@example.com")).collect();
    let hall = hall_with(database, &guests.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let other = Other::start(&hall.api.world).await;
    invite(&hall, NOTHING).await;
    for guest in &guests {
        let link = token(&hall.api, guest, 1).await;
        let (one, two) =
            tokio::join!(accept_at(&hall.api, &hall.api.base, &link), accept_at(&hall.api, &other.base, &link));
        let mut found = [one.status().as_u16(), two.status().as_u16()];
        found.sort_unstable();
        assert_eq!(found, [200, 409], "{guest}");
        log_in_tokens(&hall.api, guest, PASSWORD).await;
    }
    hall.api.stop().await;
}

async fn ten_thousand_are_invited_at_once(database: DatabaseKind) {
    let hall = Hall::open(database, json!({"access": "roster"})).await;
    let file = (0..10_000).fold(String::new(), |mut file, n| {
        writeln!(file, "student-{n}@example.com,Student {n}").expect("text");
        file
    });
    let path = format!("/api/v1{}/roster", hall.exam);
    let request = hall.api.request(Method::PUT, &path).bearer_auth(&hall.author).header("content-type", "text/csv");
    assert_eq!(request.body(file).send().await.expect("an answer").status(), 200);
    let started = Instant::now();
    assert_eq!(invite(&hall, NOTHING).await["queued"], 10_000);
    println!("10,000 students invited in {:.2?} ({database:?})", started.elapsed());
    assert_eq!(invite(&hall, NOTHING).await["queued"], 0);
    hall.api.stop().await;
}
