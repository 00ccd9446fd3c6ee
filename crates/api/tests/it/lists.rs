//! Lists: found, sorted, and whole while rows come and go.

use examhall_testkit::DatabaseKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Api, on_both};

const NOTHING: &Value = &Value::Null;

on_both!(
    exams_are_found_by_status_author_and_title,
    exams_are_sorted_and_paged_in_each_order,
    cursors_do_not_shift_while_exams_come_and_go,
    results_are_listed_with_names_and_sorted,
    attempts_are_exported_without_formulas,
    attempts_are_found_sorted_and_paged,
    attempt_cursors_do_not_shift_while_students_start,
);

/// Drafts an exam; returns its id.
async fn draft(api: &Api, author: &str, title: &str, opens_at: Option<&str>) -> String {
    let exam = json!({"title": title, "description": "", "durationMinutes": 60, "opensAt": opens_at});
    let exam = api.expect(201, Method::POST, "/exams", author, &exam).await;
    exam["id"].as_str().expect("an id").to_owned()
}

/// All pages of a list, two items at a time: one field of each item.
async fn paged(api: &Api, token: &str, path: &str, field: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.expect(200, Method::GET, &format!("{path}limit=2{cursor}"), token, NOTHING).await;
        let items = page["items"].as_array().expect("items");
        found.extend(items.iter().map(|item| item[field].as_str().map_or(item[field].to_string(), ToOwned::to_owned)));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

async fn exams_are_found_by_status_author_and_title(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let seeded = api.seed_with(1, 1).await;
    let (author, other) = (api.log_in(&seeded["authorEmail"]).await, api.log_in_as("author").await);
    let student = api.log_in(&seeded["studentEmails"][0]).await;
    for title in ["Übung 100%", "ÜBUNG [b]", "a.c*", "abc"] {
        draft(&api, &author, title, None).await;
    }
    draft(&api, &other, "übung", None).await;
    let titles = async |token: &str, query: &str| {
        let mut titles = paged(&api, token, &format!("/exams?{query}&"), "title").await;
        titles.sort();
        titles
    };
    assert_eq!(
        titles(&author, "q=%C3%BCbung").await,
        ["ÜBUNG [b]", "Übung 100%"],
        "in any case, and no drafts of others"
    );
    assert_eq!(titles(&author, "q=0%25").await, ["Übung 100%"]);
    assert_eq!(titles(&author, "q=%5BB%5D").await, ["ÜBUNG [b]"]);
    assert_eq!(titles(&author, "q=A.C").await, ["a.c*"]);
    assert_eq!(titles(&author, "q=%2A").await, ["a.c*"]);
    let me = api.expect(200, Method::GET, "/users/me", &other, NOTHING).await["id"].clone();
    let theirs = format!("author={}", me.as_str().expect("an id"));
    assert_eq!(titles(&other, &theirs).await, ["übung"]);
    assert!(titles(&student, &theirs).await.is_empty());
    assert_eq!(titles(&student, "status=published").await.len(), 1);
    assert!(titles(&student, "status=draft").await.is_empty());
    assert_eq!(titles(&author, "status=draft").await.len(), 4);
    let admin = api.admin().await;
    assert_eq!(titles(&admin, &format!("{theirs}&status=draft&q=X")).await, Vec::<String>::new());
    assert_eq!(titles(&admin, &format!("{theirs}&status=draft&q=NG")).await, ["übung"]);
    let long = "x".repeat(201);
    for bad in ["status=open", "author=me", "q=", &format!("q={long}"), "q=a%00b", "sort=name", "sort=", "cursor=AAAA"]
    {
        let status = if bad.starts_with("cursor") { 400 } else { 422 };
        api.expect(status, Method::GET, &format!("/exams?{bad}"), &author, NOTHING).await;
    }
    api.stop().await;
}

async fn exams_are_sorted_and_paged_in_each_order(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let author = api.log_in_as("author").await;
    for (title, opens_at) in [
        ("b", Some("2030-01-02T00:00:00Z")),
        ("A", None),
        ("c", Some("2030-01-01T00:00:00Z")),
        ("a", Some("2030-01-02T00:00:00Z")),
        ("B", None),
    ] {
        draft(&api, &author, title, opens_at).await;
    }
    let sorted = async |sort: &str| paged(&api, &author, &format!("/exams?sort={sort}&"), "title").await.concat();
    for (sort, expected) in [
        ("createdAt", "bAcaB"),
        ("title", "AabBc"),
        ("opensAt", "ABcba"),
        ("-opensAt", "abcBA"),
        ("-createdAt", "BacAb"),
    ] {
        assert_eq!(sorted(sort).await, expected, "{sort}");
    }
    assert_eq!(sorted("-title").await, "cBbaA");
    let first = api.expect(200, Method::GET, "/exams?sort=title&limit=1", &author, NOTHING).await;
    let cursor = first["nextCursor"].as_str().expect("a cursor");
    api.expect(400, Method::GET, &format!("/exams?sort=opensAt&cursor={cursor}"), &author, NOTHING).await;
    api.stop().await;
}

async fn cursors_do_not_shift_while_exams_come_and_go(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let author = api.log_in_as("author").await;
    let mut ids = Vec::new();
    for title in ["b", "d", "f", "h"] {
        ids.push(draft(&api, &author, title, None).await);
    }
    for (sort, rest) in [("title", "fh"), ("-createdAt", "db")] {
        let path = format!("/exams?sort={sort}&limit=2");
        let first = api.expect(200, Method::GET, &path, &author, NOTHING).await;
        // The row that the cursor names goes, and others come on either side of it.
        let last = first["items"][1]["id"].as_str().expect("an id");
        let last_title = first["items"][1]["title"].clone();
        api.expect(204, Method::DELETE, &format!("/exams/{last}"), &author, NOTHING).await;
        let before = draft(&api, &author, "a", None).await;
        let next = format!("{path}&cursor={}", first["nextCursor"].as_str().expect("a cursor"));
        let second = api.expect(200, Method::GET, &next, &author, NOTHING).await;
        let titles: Vec<_> =
            second["items"].as_array().expect("items").iter().map(|item| item["title"].clone()).collect();
        let expected: Vec<_> = rest.chars().map(|title| json!(title.to_string())).collect();
        assert_eq!(titles, expected, "{sort}");
        api.expect(204, Method::DELETE, &format!("/exams/{before}"), &author, NOTHING).await;
        if sort == "title" {
            // For the second order: h, f, d, b.
            let all = paged(&api, &author, "/exams?", "id").await;
            for id in all {
                api.expect(204, Method::DELETE, &format!("/exams/{id}"), &author, NOTHING).await;
            }
            for title in ["b", "d", "f", "h"] {
                draft(&api, &author, title, None).await;
            }
            assert_eq!(last_title, "d");
        }
    }
    api.stop().await;
}

/// A seeded exam that its students have sat, the first with the name `=Zoë`, with 1, 0 and 2 right answers; returns the
/// exam's path, the author and the students.
async fn sat(api: &Api) -> (String, String, Vec<String>) {
    let seeded = api.seed_with(1, 3).await;
    let author = api.log_in(&seeded["authorEmail"]).await;
    let exam = draft(api, &author, "Sat", None).await;
    let exam = format!("/exams/{exam}");
    let question = |text: &str| json!({"type": "trueFalse", "text": text, "correct": true});
    let questions = json!({"questions": [question("1"), question("2"), question("3")]});
    let sheet = api.expect(200, Method::PUT, &format!("{exam}/questions"), &author, &questions).await;
    api.expect(200, Method::POST, &format!("{exam}/publish"), &author, NOTHING).await;
    let mut students = Vec::new();
    for (n, (name, right)) in [("=Zoë", 1), ("ada", 0), ("Émile", 2)].into_iter().enumerate() {
        let student = api.log_in(&seeded["studentEmails"][n]).await;
        api.expect(200, Method::PATCH, "/users/me", &student, &json!({"name": name})).await;
        let attempt = api.expect(201, Method::POST, &format!("{exam}/attempts"), &student, NOTHING).await;
        let path = format!("/attempts/{}", attempt["id"].as_str().expect("an id"));
        let answers: Vec<_> =
            (0..right).map(|n| json!({"questionId": sheet["questions"][n]["id"], "value": true})).collect();
        let answers = json!({"seq": 1, "answers": answers});
        api.expect(200, Method::PUT, &format!("{path}/answers"), &student, &answers).await;
        api.expect(200, Method::POST, &format!("{path}/submit"), &student, NOTHING).await;
        students.push(student);
    }
    (exam, author, students)
}

async fn results_are_listed_with_names_and_sorted(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (exam, author, students) = sat(&api).await;
    let sorted = async |sort: &str| paged(&api, &author, &format!("{exam}/results?sort={sort}&"), "name").await;
    assert_eq!(sorted("score").await, ["ada", "=Zoë", "Émile"]);
    assert_eq!(sorted("-score").await, ["Émile", "=Zoë", "ada"]);
    assert_eq!(sorted("gradedAt").await, ["=Zoë", "ada", "Émile"]);
    let (mut up, down) = (sorted("name").await, sorted("-name").await);
    up.reverse();
    assert_eq!((up.len(), up), (3, down));
    let found = paged(&api, &author, &format!("{exam}/results?q=%C3%89MI&"), "name").await;
    assert_eq!(found, ["Émile"]);
    assert_eq!(paged(&api, &author, &format!("{exam}/results?q=STUDENT-1&"), "name").await, ["=Zoë"], "by address");
    let all = api.expect(200, Method::GET, &format!("{exam}/results"), &author, NOTHING).await;
    assert!(all["items"][0]["email"].as_str().is_some_and(|email| email.starts_with("student-1-")), "{all}");
    let mine = api.expect(200, Method::GET, &format!("{exam}/results?sort=-score"), &students[1], NOTHING).await;
    assert_eq!(mine["items"].as_array().map(Vec::len), Some(1));
    assert!(mine["items"][0]["name"].is_null() && mine["items"][0]["email"].is_null(), "{mine}");
    api.stop().await;
}

async fn attempts_are_exported_without_formulas(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (exam, author, students) = sat(&api).await;
    let file = api.request(Method::GET, &format!("/api/v1{exam}/attempts.csv")).bearer_auth(&author);
    let file = file.send().await.expect("an answer");
    assert_eq!(file.headers()["content-type"], "text/csv; charset=utf-8");
    let text = file.text().await.expect("text");
    let lines: Vec<_> = text.trim_start_matches('\u{feff}').split("\r\n").collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(lines[0], "attemptId,userId,name,email,state,startedAt,deadline,savedAt,submittedAt,resultId");
    assert!(lines[1].contains(",'=Zoë,student-1-") && lines[1].contains(",submitted,"), "{text}");
    api.expect(403, Method::GET, &format!("{exam}/attempts.csv"), &students[0], NOTHING).await;
    api.stop().await;
}

async fn attempts_are_found_sorted_and_paged(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (exam, author, students) = sat(&api).await;
    let more_time = json!({"durationMinutes": 90});
    api.expect(200, Method::PATCH, &format!("{exam}?force=true"), &author, &more_time).await;
    api.world
        .database
        .sql("UPDATE attempts SET deadline = 9 WHERE user_id = (SELECT id FROM users WHERE name = 'ada')")
        .await;
    let sorted = async |query: &str| paged(&api, &author, &format!("{exam}/attempts?{query}&"), "name").await;
    assert_eq!(sorted("sort=startedAt").await, ["=Zoë", "ada", "Émile"]);
    assert_eq!(sorted("sort=-startedAt").await, ["Émile", "ada", "=Zoë"]);
    assert_eq!(sorted("sort=deadline").await, ["ada", "=Zoë", "Émile"]);
    assert_eq!(sorted("sort=-deadline").await.last().map(String::as_str), Some("ada"));
    let (mut up, down) = (sorted("sort=name").await, sorted("sort=-name").await);
    up.reverse();
    assert_eq!((up.len(), up), (3, down));
    assert_eq!(sorted("q=%C3%89MI").await, ["Émile"]);
    assert_eq!(sorted("q=STUDENT-1&state=submitted").await, ["=Zoë"], "by address");
    assert!(sorted("state=open").await.is_empty());
    let mine = api.expect(200, Method::GET, &format!("{exam}/attempts?q=mile&sort=name"), &students[1], NOTHING).await;
    assert_eq!(mine["items"], json!([]), "students find their own alone");
    for bad in ["sort=score", "q=", "state=lost"] {
        api.expect(422, Method::GET, &format!("{exam}/attempts?{bad}"), &author, NOTHING).await;
        api.expect(422, Method::GET, &format!("{exam}/attempts.csv?{bad}"), &author, NOTHING).await;
    }
    let file = api.request(Method::GET, &format!("/api/v1{exam}/attempts.csv?sort=-name&state=submitted&q=e"));
    let text = file.bearer_auth(&author).send().await.expect("an answer").text().await.expect("text");
    let names: Vec<_> = text.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
    let found = sorted("sort=-name&state=submitted&q=e").await;
    assert_eq!(names.iter().map(|name| name.trim_start_matches('\'')).collect::<Vec<_>>(), found, "{text}");
    api.stop().await;
}

async fn attempt_cursors_do_not_shift_while_students_start(database: DatabaseKind) {
    let api = Api::start_on(database).await;
    let (exam, author, _) = sat(&api).await;
    let path = format!("{exam}/attempts?limit=2");
    let first = api.expect(200, Method::GET, &path, &author, NOTHING).await;
    let cursor = first["nextCursor"].as_str().expect("a cursor");
    // The row that the cursor names goes.
    for table in ["results", "attempts"] {
        let of_ada = "WHERE user_id = (SELECT id FROM users WHERE name = 'ada')";
        api.world.database.sql(&format!("DELETE FROM {table} {of_ada}")).await;
    }
    let second = api.expect(200, Method::GET, &format!("{path}&cursor={cursor}"), &author, NOTHING).await;
    let names: Vec<_> = second["items"].as_array().expect("items").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("Émile")]);
    let wrong = format!("{exam}/attempts?sort=deadline&cursor={cursor}");
    api.expect(400, Method::GET, &wrong, &author, NOTHING).await;
    api.stop().await;
}
