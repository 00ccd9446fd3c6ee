use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use examhall_core::{ExamId, Patch, QuestionId, Timestamp, UserId};
use examhall_store::{CommitHook, CommitOutcome, Edit, Editor, ExamChange, Invalidation, Store};
use examhall_testkit::eventually;
use uuid::Uuid;

use crate::{EDITOR, Fresh, NOW, at, exams::new_exam, on_both};

on_both!(
    a_commit_is_told_before_and_after_and_noted_as_heard,
    journal_is_read_in_order_and_never_counts_again,
    what_the_cache_did_not_hear_stays_in_the_outbox,
    a_change_that_is_refused_tells_nobody,
    an_edit_of_one_question_is_told_with_the_others_of_its_exam,
    a_deleted_exam_is_told_with_its_questions,
    exams_that_open_soon_are_found,
);

const LATER: Timestamp = Timestamp::from_millis(NOW.as_millis() + 10_000);

/// Records its calls, and what the database held then.
#[derive(Debug)]
struct Listener {
    store: Store,
    delivers: bool,
    calls: Mutex<Vec<String>>,
}

impl Listener {
    fn on(fresh: &Fresh, delivers: bool) -> Arc<Self> {
        let listener = Arc::new(Self { store: fresh.store.clone(), delivers, calls: Mutex::default() });
        fresh.store.on_commit(listener.clone());
        listener
    }

    async fn note(&self, when: &str, keys: &[String]) {
        let id = keys[0].trim_start_matches("exam:").parse().expect("an exam's id");
        let seen = self.store.exams.get(id).await.map_or(0, |exam| exam.version);
        let names: Vec<_> = keys.iter().map(|key| key.replace(&keys[0], "exam")).collect();
        self.calls.lock().expect("no panic").push(format!("{when} {} at version {seen}", names.join(" ")));
    }
}

#[async_trait::async_trait]
impl CommitHook for Listener {
    async fn before(&self, _: Uuid, keys: &[String]) {
        self.note("before", keys).await;
    }

    async fn after(&self, _: Uuid, keys: &[String], _: CommitOutcome) -> bool {
        self.note("after", keys).await;
        self.delivers
    }
}

async fn overdue(fresh: &Fresh) -> Vec<Invalidation> {
    fresh.store.invalidations.overdue(Duration::from_secs(5), 10, LATER).await.expect("asked")
}

/// The keys of a new exam's questions, which show its version.
fn question_keys() -> [String; 3] {
    [3, 5, 7].map(|n| format!("question:{}", Uuid::from_u128(n)))
}

fn keys_of(exam: ExamId) -> Vec<String> {
    [format!("exam:{exam}"), format!("exam:{exam}:questions")].into_iter().chain(question_keys()).collect()
}

async fn a_commit_is_told_before_and_after_and_noted_as_heard(fresh: Fresh) {
    let listener = Listener::on(&fresh, true);
    let id = new_exam(&fresh).await;
    fresh.store.exams.change(id, &ExamChange::default(), EDITOR, NOW).await.expect("changed");
    let calls = listener.calls.lock().expect("no panic").clone();
    let keys = ["exam".to_owned(), "exam:questions".to_owned()].into_iter().chain(question_keys());
    let keys = keys.collect::<Vec<_>>().join(" ");
    assert_eq!(calls, [format!("before {keys} at version 1"), format!("after {keys} at version 2")]);
    eventually("nothing is overdue", Duration::from_secs(10), async || overdue(&fresh).await.is_empty().then_some(()))
        .await;
    let journal = async || fresh.store.invalidations.since(0, 10).await.expect("asked");
    assert_eq!(journal().await[0].keys.len(), 5, "for a Redis that may have forgotten");
    let much_later = NOW.plus(Duration::from_hours(1));
    fresh.store.invalidations.prune(Duration::from_mins(2), much_later).await.expect("pruned");
    assert_eq!(journal().await, []);
}

async fn journal_is_read_in_order_and_never_counts_again(fresh: Fresh) {
    Listener::on(&fresh, true);
    let id = new_exam(&fresh).await;
    let change = async || fresh.store.exams.change(id, &ExamChange::default(), EDITOR, NOW).await.expect("changed");
    let since = async |seq, limit| fresh.store.invalidations.since(seq, limit).await.expect("asked");
    for _ in 0..3 {
        change().await;
    }
    let all = since(0, 10).await;
    assert!(all.len() == 3 && all.is_sorted_by(|one, next| one.seq < next.seq), "{all:?}");
    assert!(all.iter().all(|row| row.keys == keys_of(id) && row.age < Duration::from_mins(1)), "{all:?}");
    assert_eq!(since(0, 2).await.iter().map(|row| row.seq).collect::<Vec<_>>(), [all[0].seq, all[1].seq]);
    assert_eq!(since(all[1].seq, 10).await.len(), 1);
    let overdue = overdue(&fresh).await.into_iter().map(|row| row.commit).collect::<Vec<_>>();
    fresh.store.invalidations.mark_cleared(&overdue, LATER).await.expect("noted");
    let noted = async || {
        fresh.store.invalidations.prune(Duration::ZERO, LATER).await.expect("pruned");
        since(0, 10).await.is_empty().then_some(())
    };
    eventually("all to be pruned", Duration::from_secs(10), noted).await;
    change().await;
    assert!(since(0, 10).await[0].seq > all[2].seq, "numbers are not used again");
}

async fn what_the_cache_did_not_hear_stays_in_the_outbox(fresh: Fresh) {
    Listener::on(&fresh, false);
    let id = new_exam(&fresh).await;
    fresh.store.exams.change(id, &ExamChange::default(), EDITOR, NOW).await.expect("changed");
    let waiting = overdue(&fresh).await;
    assert_eq!(waiting[0].keys, keys_of(id));
    let too_young = fresh.store.invalidations.overdue(Duration::from_secs(5), 10, NOW).await.expect("asked");
    assert_eq!(too_young, []);
    fresh.store.invalidations.prune(Duration::ZERO, LATER).await.expect("pruned");
    assert_eq!(overdue(&fresh).await.len(), 1, "what was not delivered is kept");
    fresh.store.invalidations.mark_cleared(&[waiting[0].commit], LATER).await.expect("noted");
    assert_eq!(overdue(&fresh).await, []);
}

async fn a_change_that_is_refused_tells_nobody(fresh: Fresh) {
    let listener = Listener::on(&fresh, true);
    let id = new_exam(&fresh).await;
    fresh.store.exams.change(id, &ExamChange::default(), at(7), NOW).await.expect_err("another version");
    assert!(listener.calls.lock().expect("no panic").is_empty());
}

async fn an_edit_of_one_question_is_told_with_the_others_of_its_exam(fresh: Fresh) {
    Listener::on(&fresh, false);
    let exam = new_exam(&fresh).await;
    let editor = Editor { user: UserId(Uuid::nil()), force: false, expected: None };
    let edit = Edit::Remove(QuestionId(Uuid::from_u128(5)));
    fresh.store.questions.edit(exam, edit, editor, NOW).await.expect("edited");
    assert_eq!(overdue(&fresh).await[0].keys, keys_of(exam));
}

async fn a_deleted_exam_is_told_with_its_questions(fresh: Fresh) {
    Listener::on(&fresh, false);
    let id = new_exam(&fresh).await;
    fresh.store.exams.delete(id, EDITOR, NOW).await.expect("deleted");
    assert_eq!(overdue(&fresh).await[0].keys, keys_of(id));
}

async fn exams_that_open_soon_are_found(fresh: Fresh) {
    let id = new_exam(&fresh).await;
    let opening = async |span| fresh.store.exams.opening_within(Duration::from_secs(span), NOW).await.expect("asked");
    assert_eq!(opening(90).await, []);
    let opens_at = NOW.plus(Duration::from_mins(1));
    let change = ExamChange { opens_at: Patch::Set(opens_at), ..ExamChange::default() };
    fresh.store.exams.change(id, &change, EDITOR, NOW).await.expect("changed");
    assert_eq!((opening(30).await, opening(90).await), (vec![], vec![(id, opens_at)]));
    let next = async |now| fresh.store.exams.opening_next(1, now).await.expect("asked");
    let found: Vec<_> = next(NOW).await.into_iter().map(|exam| (exam.id, exam.opens_at)).collect();
    assert_eq!(fresh.store.questions.ids(id).await.expect("asked").len(), question_keys().len());
    assert_eq!((found, next(opens_at).await.len()), (vec![(id, Some(opens_at))], 0));
}
