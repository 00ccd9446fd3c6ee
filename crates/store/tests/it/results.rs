use std::{collections::HashSet, time::Duration};

use examhall_core::{Answer, Locale, Patch, QuestionId, UserId};
use examhall_store::{AccountChange, ResultFilter, ResultSort, SortedPage, Versioned, WaitingMail};
use examhall_testkit::DatabaseKind;
use uuid::Uuid;

use crate::{EDITOR, Fresh, NOW, Other, attempts::submit, exams::new_exam, on_both};

on_both!(
    results_come_in_pages_and_show_who_may_see_them,
    statistics_add_up_all_results,
    publishing_mails_each_student_once,
    publishing_twice_at_once_mails_each_student_once,
    results_are_mailed_as_their_students_want,
);

/// Sits the exam with one right answer of three for each of `right`.
pub(crate) async fn sit(fresh: &Fresh, exam: examhall_core::ExamId, student: UserId, right: &[u128]) {
    let (_, attempt) = fresh.store.attempts.start(exam, student, NOW).await.expect("started");
    let choice_ids = || Some(vec!["a".to_owned()]);
    let answer =
        |n: &u128| Answer { question_id: QuestionId(Uuid::from_u128(*n)), choice_ids: choice_ids(), value: None };
    let answers: Vec<_> = right.iter().map(answer).collect();
    fresh.store.attempts.save(attempt.id, student, 1, &answers, NOW).await.expect("saved");
    submit(&fresh.store, &attempt).await.expect("submitted");
}

async fn results_come_in_pages_and_show_who_may_see_them(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(3).await);
    for student in &students {
        sit(&fresh, exam, *student, &[7]).await;
    }
    let list = async |user, after| {
        let page = SortedPage { sort: ResultSort::Graded, is_descending: false, limit: 2, after };
        let filter = ResultFilter { user, text: None };
        fresh.store.results.list(exam, &filter, &page).await.expect("listed")
    };
    let first = list(None, None).await;
    let rest = list(None, first.next).await;
    let users: Vec<_> = first.items.iter().chain(&rest.items).map(|row| row.result.user_id).collect();
    assert_eq!((users, first.items.len(), rest.next), (students.clone(), 2, None));
    let mine = list(Some(students[1]), None).await.items;
    assert_eq!(mine.iter().map(|row| row.result.user_id).collect::<Vec<_>>(), [students[1]]);
    let Versioned { version, value: (result, access) } =
        fresh.store.results.get(mine[0].result.id).await.expect("found");
    let author = fresh.store.exams.get(exam).await.expect("found").value.author_id;
    assert_eq!((version, &result, access.user_id, access.author_id), (1, &mine[0].result, students[1], author));
    let exported = fresh.store.results.export(exam, None).await.expect("exported").items;
    assert_eq!((exported.len(), exported[1].email.as_str()), (3, "s1@example.com"));
}

async fn statistics_add_up_all_results(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(4).await);
    for (student, right) in students.iter().zip([&[][..], &[7], &[7, 3], &[7, 3, 5]]) {
        sit(&fresh, exam, *student, right).await;
    }
    let statistics = fresh.store.results.statistics(exam).await.expect("added up");
    assert_eq!(
        (statistics.count, statistics.passed, statistics.mean, statistics.median),
        (4, 2, Some(50.0), Some(50.0))
    );
    assert_eq!(statistics.distribution, [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]);
    let shares: Vec<_> = statistics.questions.iter().map(|question| question.mean_share).collect();
    assert_eq!(shares, [0.5, 0.25, 0.75], "of questions 3, 5 and 7");
}

async fn publishing_mails_each_student_once(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(3).await);
    sit(&fresh, exam, students[0], &[7]).await;
    sit(&fresh, exam, students[0], &[7, 3, 5]).await; // the better of two
    sit(&fresh, exam, students[1], &[]).await;
    fresh.store.outbox.claim(100, Duration::from_secs(1), NOW).await.expect("claimed");
    let publish = async || {
        fresh.store.results.publish(exam, "result-published", None, EDITOR.user, NOW).await.expect("published")
    };
    assert_eq!((publish().await, publish().await), (2, 0));
    sit(&fresh, exam, students[2], &[]).await;
    assert_eq!((publish().await, publish().await), (1, 0), "those that submitted later");

    let mails = fresh.store.outbox.claim(100, Duration::from_secs(1), NOW).await.expect("claimed");
    let published: Vec<_> = mails.iter().filter(|waiting| waiting.mail.template == "result-published").collect();
    let to: HashSet<_> = published.iter().map(|waiting| waiting.mail.to.as_str()).collect();
    assert_eq!((published.len(), to), (3, ["s0@example.com", "s1@example.com", "s2@example.com"].into()));
    let first =
        published.iter().find(|waiting| waiting.mail.to.as_str() == "s0@example.com").expect("checked").mail.clone();
    assert_eq!(first.priority.level(), 1);
    assert_eq!(first.params["exam"], "Algebra");
    assert_eq!(first.params["percent"].as_f64(), Some(100.0), "{}", first.params);
}

async fn results_are_mailed_as_their_students_want(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(3).await);
    let accounts = &fresh.store.accounts;
    let locale = Locale::parse("de-AT").expect("a tag");
    let german = AccountChange { locale: Patch::Set(locale.clone()), ..Default::default() };
    let changed = accounts.change(students[0], &german, None, NOW).await.expect("changed");
    assert_eq!(changed.value.locale, Some(locale));
    for _ in 0..2 {
        accounts.unsubscribe_from_results(students[1], NOW).await.expect("unsubscribed");
        accounts.unsubscribe_from_results(UserId(Uuid::now_v7()), NOW).await.expect("nothing to do");
    }
    let unsubscribed = accounts.get(students[1]).await.expect("found");
    assert!((unsubscribed.version, unsubscribed.value.result_mails) == (2, false), "{unsubscribed:?}");
    for student in &students {
        sit(&fresh, exam, *student, &[7]).await;
    }
    let claim = async || fresh.store.outbox.claim(100, Duration::from_secs(1), NOW).await.expect("claimed");
    let to = |mails: &[WaitingMail]| mails.iter().map(|mail| mail.mail.to.as_str().to_owned()).collect::<HashSet<_>>();
    let wanted: HashSet<_> = ["s0@example.com", "s2@example.com"].map(ToOwned::to_owned).into();
    assert_eq!(claim().await.len(), 2, "of submissions");
    assert_eq!(
        fresh.store.results.publish(exam, "result-published", None, EDITOR.user, NOW).await.expect("published"),
        2
    );
    let published = claim().await;
    assert_eq!(to(&published), wanted, "of the publication");
    for WaitingMail { mail, .. } in &published {
        let (n, locale) = if mail.to.as_str() == "s0@example.com" { (0, Some("de-AT")) } else { (2, None) };
        assert_eq!(mail.params["user"].as_str().and_then(|id| id.parse().ok()), Some(students[n].0), "{}", mail.params);
        assert_eq!((mail.params["locale"].as_str(), mail.params["gradedAt"].as_i64()), (locale, Some(NOW.as_millis())));
    }
    let again = AccountChange { result_mails: Some(true), ..Default::default() };
    assert!(accounts.change(students[1], &again, None, NOW).await.expect("changed").value.result_mails);
    sit(&fresh, exam, students[1], &[7]).await;
    assert_eq!(claim().await.len(), 1);
}

async fn publishing_twice_at_once_mails_each_student_once(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(5).await);
    for student in &students {
        sit(&fresh, exam, *student, &[7]).await;
    }
    let publications = (0..8).map(|_| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            store.results.publish(exam, "result-published", None, EDITOR.user, NOW).await.expect("published")
        })
    });
    let mut queued = 0;
    for publication in publications.collect::<Vec<_>>() {
        queued += publication.await.expect("no panic");
    }
    assert_eq!(queued, 5);
}

#[tokio::test]
async fn a_concurrent_result_is_published_the_next_time() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let (exam, students) = (new_exam(&fresh).await, fresh.students(2).await);
    sit(&fresh, exam, students[0], &[7]).await;
    let (_, late) = fresh.store.attempts.start(exam, students[1], NOW).await.expect("started");
    // Holds the publication up in the middle of its mails: their ids are those of the results.
    let other = Other::amid(
        &fresh,
        "INSERT INTO mail_outbox (id, class, template, recipient, params, sealed, priority, run_at, created_at) \
         SELECT id, 'result', 't', 'a@b', '{}', '', 1, 0, 0 FROM results",
    )
    .await;
    let store = fresh.store.clone();
    let publish = move || {
        let store = store.clone();
        tokio::spawn(async move {
            store.results.publish(exam, "result-published", None, EDITOR.user, NOW).await.expect("published")
        })
    };
    let first = publish();
    other.sees_waiting(1).await;
    submit(&fresh.store, &late).await.expect("submitted");
    other.gives_up().await;
    assert_eq!(first.await.expect("no panic"), 1);
    assert_eq!(publish().await.expect("no panic"), 1, "the late one");
    assert_eq!(publish().await.expect("no panic"), 0);
}
