//! Exams as files for other programs.

use examhall_testkit::DatabaseKind;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::{
    attempts::Hall,
    exam_documents::{path_of, questions, stripped},
    on_both, problem,
};

on_both!(an_exported_file_is_imported_as_far_as_it_holds, a_bad_file_is_named_line_by_line_and_leaves_nothing);

const NOTHING: &Value = &Value::Null;
const GIFT: &str = "text/plain; charset=utf-8";
const XML: &str = "application/xml";

/// Sends a file to be imported, with these parameters.
async fn import(hall: &Hall, parameters: &str, media_type: &str, file: impl Into<Vec<u8>>) -> Response {
    let request = hall.api.request(Method::POST, &format!("/api/v1/exams/import?{parameters}"));
    let request = request.bearer_auth(&hall.author).header("content-type", media_type);
    request.body(file.into()).send().await.expect("an answer")
}

/// The exam as a file, with its type and name.
async fn export(hall: &Hall, exam: &str, format: &str) -> (String, [String; 2]) {
    let path = format!("{exam}/export?format={format}");
    let answer = hall.api.send(Method::GET, &path, &hall.author, NOTHING).await;
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    let headers = ["content-type", "content-disposition"].map(header);
    (answer.text().await.expect("a text"), headers)
}

/// The questions of an exam, with their keys.
async fn keys(hall: &Hall, exam: &str) -> Value {
    stripped(hall.as_author(200, Method::GET, &format!("{exam}/questions?include=answers"), NOTHING).await)
}

/// Pointer and detail of each thing that is wrong.
fn errors(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().into_iter().flatten();
    errors.filter_map(|error| Some((error["pointer"].as_str()?, error["detail"].as_str()?))).collect()
}

async fn count(hall: &Hall) -> usize {
    hall.as_author(200, Method::GET, "/exams?limit=100", NOTHING).await["items"].as_array().map_or(0, Vec::len)
}

async fn an_exported_file_is_imported_as_far_as_it_holds(database: DatabaseKind) {
    let hall =
        Hall::open(database, json!({"description": "Sums", "access": "code", "accessCode": "spring-2027"})).await;
    hall.as_author(200, Method::PUT, &format!("{}/questions", hall.exam), &questions()).await;
    let (file, headers) = export(&hall, &hall.exam, "gift").await;
    assert_eq!(headers, [GIFT, "attachment; filename=\"exam.gift.txt\""]);
    for omitted in ["/exam/description", "/exam/durationMinutes", "/exam/accessCode", "/questions/1/points (2.5)"] {
        assert!(file.contains(&format!("// omitted: {omitted}")), "{omitted} in {file}");
    }
    let made = import(&hall, "durationMinutes=30&description=Sums", GIFT, file).await;
    assert_eq!((made.status().as_u16(), made.headers().contains_key("location")), (201, true));
    let made: Value = made.json().await.expect("JSON");
    assert_eq!(
        (&made["title"], &made["description"], &made["durationMinutes"], &made["status"], &made["access"]),
        (&json!("Algebra"), &json!("Sums"), &json!(30), &json!("draft"), &json!("open"))
    );
    let mut expected = keys(&hall, &hall.exam).await;
    expected["questions"][1]["points"] = json!(1.0);
    assert_eq!(keys(&hall, &path_of(&made)).await, expected);
    let (file, headers) = export(&hall, &hall.exam, "moodle-xml").await;
    assert_eq!(headers, [XML, "attachment; filename=\"exam.xml\""]);
    assert!(file.contains("<!-- omitted: /exam/durationMinutes -->"), "{file}");
    let made = import(&hall, "durationMinutes=30", "text/xml", file).await;
    assert_eq!(made.status().as_u16(), 201);
    expected["questions"][1]["points"] = json!(2.5);
    assert_eq!(keys(&hall, &path_of(&made.json().await.expect("JSON"))).await, expected);
    let json = hall.as_author(200, Method::GET, &format!("{}/export?format=json", hall.exam), NOTHING).await;
    assert_eq!(json["format"], "examhall-exam");
    hall.as_author(422, Method::GET, &format!("{}/export?format=qti", hall.exam), NOTHING).await;
    hall.api.stop().await;
}

async fn a_bad_file_is_named_line_by_line_and_leaves_nothing(database: DatabaseKind) {
    let hall = Hall::open(database, json!({})).await;
    let before = count(&hall).await;
    let file = "One?{T}\n\nTwo?{}\n\nThree?{=a -> b =c -> d}\n\n::Q4::Four?{#four#no}\n";
    let refused = problem(import(&hall, "title=x&durationMinutes=9", GIFT, file).await, 422).await;
    let found = errors(&refused);
    let lines: Vec<_> = found.iter().map(|(pointer, detail)| (*pointer, &detail[..8])).collect();
    assert_eq!(
        lines,
        [
            ("/questions/1/type", "line 3: "),
            ("/questions/2/type", "line 5: "),
            ("/questions/3", "line 7: "),
            ("/questions/3/answer", "line 7: "),
            ("/questions/3/answer", "line 7: "),
        ],
        "{refused}"
    );
    let refused = problem(import(&hall, "title=x&durationMinutes=9&lossy=true", GIFT, file).await, 422).await;
    assert_eq!(errors(&refused).len(), 3, "what may be lost is not named: {refused}");

    let named = "::Q::Sum?{=4#yes ~5}";
    let refused = problem(import(&hall, "title=x&durationMinutes=9", GIFT, named).await, 422).await;
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("lossy=true")), "{refused}");
    let refused = problem(import(&hall, "durationMinutes=0", GIFT, "One?{}").await, 422).await;
    let pointers: Vec<_> = errors(&refused).into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(pointers, ["/questions/0/type", "/title"], "{refused}");
    for (status, parameters, media_type, file) in [
        (422, "title=x", GIFT, b"One?{T}".as_slice()),
        (422, "title=x&durationMinutes=0", GIFT, b"One?{T}"),
        (422, "title=&durationMinutes=9", GIFT, b"One?{T}"),
        (422, "title=x&durationMinutes=9", GIFT, b""),
        (422, "title=x&durationMinutes=9&lossy=perhaps", GIFT, b"One?{T}"),
        (422, "title=x&durationMinutes=9&format=qti", GIFT, b"One?{T}"),
        (400, "title=x&durationMinutes=9", GIFT, b"One\xff?{T}"),
        (415, "title=x&durationMinutes=9", "text/csv", b"One?{T}"),
        (415, "title=x&durationMinutes=9&format=json", GIFT, b"One?{T}"),
        (413, "title=x&durationMinutes=9", GIFT, &vec![b'a'; 1024 * 1024 + 1]),
    ] {
        problem(import(&hall, parameters, media_type, file).await, status).await;
    }
    let xml = "<quiz>\n<question type=\"essay\"/>\n<question type=\"matching\"/>\n</quiz>";
    let refused = problem(import(&hall, "title=x&durationMinutes=9&lossy=true", XML, xml).await, 422).await;
    let lines: Vec<_> = errors(&refused).into_iter().map(|(pointer, detail)| (pointer, &detail[..8])).collect();
    assert_eq!(lines, [("/questions/0/type", "line 2: "), ("/questions/1/type", "line 3: ")]);
    for bad in ["", "<quiz>", "<!DOCTYPE quiz [<!ENTITY a \"a\">]><quiz>&a;</quiz>", "One?{T}"] {
        let refused = problem(import(&hall, "title=x&durationMinutes=9", XML, bad).await, 422).await;
        assert_eq!(refused["errors"][0]["pointer"], "/questions", "{refused}");
    }
    assert_eq!(count(&hall).await, before, "nothing is half-imported");
    assert_eq!(import(&hall, "title=x&durationMinutes=9&lossy=true&format=gift", GIFT, named).await.status(), 201);
    assert_eq!(count(&hall).await, before + 1);
    hall.api.stop().await;
}
