use std::time::Duration;

use examhall_core::{Timestamp, UserId};
use examhall_store::{Editor, Error, ExamFilter, FirstAnswer, IdempotentRequest};
use examhall_testkit::DatabaseKind;

use crate::{
    Fresh, NOW, Other,
    exams::{exam, new_exam, question},
    on_both,
};

on_both!(
    of_twenty_equal_requests_at_once_one_makes_an_exam,
    a_failed_request_leaves_its_key_free,
    a_key_lives_for_24_hours_and_is_pruned,
    keys_go_with_their_user,
);

const DAY: Duration = Duration::from_hours(24);

fn request(user: UserId, key: &str) -> IdempotentRequest {
    IdempotentRequest { user, key: key.into(), hash: vec![1; 32] }
}

async fn create(fresh: &Fresh, user: UserId, key: &str, now: Timestamp) -> Result<FirstAnswer, Error> {
    let mut new = exam(user);
    new.questions.clear(); // their ids are taken by the first
    fresh.store.exams.create_idempotent(&new, &request(user, key), now).await
}

async fn of_twenty_equal_requests_at_once_one_makes_an_exam(fresh: Fresh) {
    let author = fresh.author().await;
    let fresh = std::sync::Arc::new(fresh);
    let creations = (0..20).map(|_| {
        let fresh = std::sync::Arc::clone(&fresh);
        tokio::spawn(async move { create(&fresh, author, "k", NOW).await })
    });
    let mut all = Vec::new();
    for creation in creations.collect::<Vec<_>>() {
        all.push(creation.await.expect("no panic"));
    }
    let first = all[0].as_ref().expect("made").clone();
    assert!(all.iter().all(|answer| answer.as_ref().is_ok_and(|answer| *answer == first)), "{all:?}");
    let viewer = examhall_core::Viewer { id: author, role: examhall_core::Role::Author };
    assert_eq!(
        fresh
            .store
            .exams
            .list(viewer, &ExamFilter::default(), &crate::exams::NEWEST)
            .await
            .expect("listed")
            .items
            .len(),
        1
    );
    let other = IdempotentRequest { hash: vec![2; 32], ..request(author, "k") };
    assert!(matches!(fresh.store.first_answer(&other, NOW).await, Err(Error::KeyReused)));
    assert_eq!(fresh.store.first_answer(&request(author, "k"), NOW).await.expect("asked"), Some(first));
}

async fn a_failed_request_leaves_its_key_free(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let author = fresh.store.exams.get(exam).await.expect("found").value.author_id;
    let (editor, request) = (Editor { user: author, force: false, expected: Some(9) }, request(author, "k"));
    let add = async |editor, n| fresh.store.questions.add_idempotent(exam, &question(n), editor, &request, NOW).await;
    assert!(matches!(add(editor, 4).await, Err(Error::VersionMismatch { .. })));
    assert_eq!(fresh.store.first_answer(&request, NOW).await.expect("asked"), None);
    let editor = Editor { expected: Some(1), ..editor };
    let first = add(editor, 4).await.expect("added");
    assert_eq!(first.version, 2);
    assert_eq!(add(editor, 6).await.expect("repeated"), first, "though the version is another now");
    assert_eq!(fresh.store.questions.paper(exam).await.expect("found").value.questions.len(), 4);
}

async fn a_key_lives_for_24_hours_and_is_pruned(fresh: Fresh) {
    let author = fresh.author().await;
    let first = create(&fresh, author, "k", NOW).await.expect("made");
    create(&fresh, author, "other", NOW).await.expect("made");
    let (last, after) = (NOW.plus(DAY), NOW.plus(DAY + Duration::from_millis(1)));
    assert_eq!(create(&fresh, author, "k", last).await.expect("repeated"), first);
    assert_eq!(fresh.store.accounts.prune(last).await.expect("pruned"), 0);
    let second = create(&fresh, author, "k", after).await.expect("made");
    assert_ne!(second.id, first.id, "though it is not pruned yet");
    assert_eq!(create(&fresh, author, "k", after).await.expect("repeated"), second);
    assert_eq!(fresh.store.accounts.prune(after).await.expect("pruned"), 1, "the other one");
    assert_eq!(create(&fresh, author, "k", after).await.expect("repeated"), second);
}

async fn keys_go_with_their_user(fresh: Fresh) {
    let author = fresh.author().await;
    let student = fresh.students(1).await[0];
    let keyed = request(student, "k");
    let new = exam(author);
    fresh.store.exams.create_idempotent(&new, &keyed, NOW).await.expect("made");
    let connection = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    let sql = "DELETE FROM users WHERE email = 's0@example.com'";
    sea_orm::ConnectionTrait::execute_unprepared(&connection, sql).await.expect("deleted");
    connection.close().await.expect("closed");
    assert_eq!(fresh.store.first_answer(&keyed, NOW).await.expect("asked"), None);
}

/// SQL of a client that has reserved the key of a request.
fn reservation(user: UserId) -> String {
    format!(
        "INSERT INTO idempotency_keys (id, user_id, key, request_hash, made_id, version, body, created_at) \
         SELECT gen_random_uuid(), '{0}', 'k', decode(repeat('01', 32), 'hex'), '{0}', 7, 'first', {1}",
        user.0,
        NOW.as_millis()
    )
}

#[tokio::test]
async fn a_duplicate_waits_for_the_answer_of_the_first() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let author = fresh.author().await;
    for is_committed in [false, true] {
        let other = Other::amid(&fresh, &reservation(author)).await;
        let duplicate = async { create(&fresh, author, "k", NOW).await.expect("answered") };
        let end = async {
            other.sees_waiting(1).await;
            if is_committed { other.commits().await } else { other.gives_up().await }
        };
        let (answer, ()) = tokio::join!(duplicate, end);
        assert_eq!(answer.body == "first", is_committed, "{answer:?}");
        let connection = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
        let forget = "DELETE FROM idempotency_keys";
        sea_orm::ConnectionTrait::execute_unprepared(&connection, forget).await.expect("deleted");
        connection.close().await.expect("closed");
    }
}
