//! Seats of exams that not every student may sit.

use examhall_core::{Admission, EmailAddress, ExamId};
use examhall_store::{Error, ExamChange, Page, RosterChange, RosterEntry, SeatSource};

use crate::{EDITOR, Fresh, NOW, exams::new_exam, on_both};

on_both!(
    a_seat_is_taken_with_the_code_of_now_alone,
    a_roster_is_filled_once_however_often_it_comes,
    a_roster_gives_its_students_other_names,
    rosters_at_once_add_each_student_once,
);

const ALL: Page = Page { limit: 100, after: None };

async fn set(fresh: &Fresh, exam: ExamId, access: Admission, code: Option<&str>) -> Result<(), Error> {
    let change = ExamChange { access: Some(access), access_code: code.map(ToOwned::to_owned), ..ExamChange::default() };
    fresh.store.exams.change(exam, &change, EDITOR, NOW).await.map(drop)
}

fn entry(email: &str) -> RosterEntry {
    RosterEntry { email: EmailAddress::parse(email).expect("an address"), name: "Ada".into() }
}

async fn a_seat_is_taken_with_the_code_of_now_alone(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(2).await);
    assert!(matches!(set(&fresh, exam, Admission::Code, None).await, Err(Error::NoCode)));
    set(&fresh, exam, Admission::Code, Some("$one")).await.expect("set");
    let start = async |n: usize| fresh.store.attempts.start(exam, students[n], NOW).await;
    assert!(matches!(start(0).await, Err(Error::NoSeat(Admission::Code))));
    let take = async |n: usize, code| fresh.store.seats.take(exam, students[n], code, NOW).await.expect("asked");
    assert!(take(0, "$one").await && take(0, "$one").await, "twice is once");
    set(&fresh, exam, Admission::Code, Some("$two")).await.expect("set");
    assert!(!take(1, "$one").await, "checked before the code was changed");
    start(0).await.expect("a seat stays");
    assert!(matches!(start(1).await, Err(Error::NoSeat(_))));
    set(&fresh, exam, Admission::Roster, None).await.expect("set");
    assert!(!take(1, "$two").await, "there is a roster by now");
    let seats = fresh.store.seats.list(exam, ALL).await.expect("listed").items;
    assert_eq!(seats.iter().map(|seat| seat.source).collect::<Vec<_>>(), [SeatSource::Code]);
}

async fn a_roster_is_filled_once_however_often_it_comes(fresh: Fresh) {
    let (exam, students) = (new_exam(&fresh).await, fresh.students(1).await);
    set(&fresh, exam, Admission::Code, Some("$one")).await.expect("set");
    assert!(fresh.store.seats.take(exam, students[0], "$one", NOW).await.expect("asked"));
    let fill = async |emails: &[&str], instead| {
        let entries: Vec<_> = emails.iter().map(|email| entry(email)).collect();
        fresh.store.seats.fill(exam, &entries, instead, EDITOR.user, NOW).await.expect("filled")
    };
    let change = |added, kept, removed| RosterChange { added, kept, removed };
    assert_eq!(fill(&["a@x.example", "A@X.example", "b@x.example"], true).await, change(2, 0, 0));
    assert_eq!(fill(&["a@x.example", "b@x.example"], true).await, change(0, 2, 0));
    assert_eq!(fill(&["c@x.example"], false).await, change(1, 0, 0));
    assert_eq!(fill(&["c@x.example"], true).await, change(0, 1, 2), "a seat by code stays");
    let seats = fresh.store.seats.list(exam, ALL).await.expect("listed").items;
    let emails: Vec<_> = seats.iter().map(|seat| seat.entry.email.as_str()).collect();
    assert_eq!(emails, ["s0@example.com", "c@x.example"]);
    assert!(fresh.store.seats.has(exam, students[0]).await.expect("asked"));
    let unknown = fresh.store.seats.fill(ExamId(uuid::Uuid::nil()), &[], true, EDITOR.user, NOW).await;
    assert!(matches!(unknown, Err(Error::NotFound)));
}

async fn a_roster_gives_its_students_other_names(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let fill = async |names: [&str; 2], instead| {
        let named = |n: usize| RosterEntry { name: names[n].into(), ..entry(["a@x.example", "b@x.example"][n]) };
        fresh.store.seats.fill(exam, &[named(0), named(1)], instead, EDITOR.user, NOW).await.expect("filled")
    };
    let names = async || {
        let seats = fresh.store.seats.list(exam, ALL).await.expect("listed").items;
        seats.into_iter().map(|seat| seat.entry.name).collect::<Vec<_>>()
    };
    fill(["Ada", ""], true).await;
    assert_eq!(fill(["Ada L.", "Bob"], false).await, RosterChange { added: 0, kept: 2, removed: 0 });
    assert_eq!(names().await, ["Ada L.", "Bob"]);
    fill(["", "Robert"], true).await;
    assert_eq!(names().await, ["Ada L.", "Robert"], "a file without names takes none away");
}

async fn rosters_at_once_add_each_student_once(fresh: Fresh) {
    let exam = new_exam(&fresh).await;
    let entries: Vec<_> = (0..50).map(|n| entry(&format!("s{n}@x.example"))).collect();
    let fills = (0..4).map(|_| {
        let (store, entries) = (fresh.store.clone(), entries.clone());
        tokio::spawn(
            async move { store.seats.fill(exam, &entries, true, EDITOR.user, NOW).await.expect("filled").added },
        )
    });
    let mut added = 0;
    for fill in fills.collect::<Vec<_>>() {
        added += fill.await.expect("no panic");
    }
    assert_eq!((added, fresh.store.seats.list(exam, ALL).await.expect("listed").items.len()), (50, 50));
}
