//! Seats go where their account goes: to another address, back, and with it to its end.

use std::time::Duration;

use examhall_core::{Admission, EmailAddress, ExamId, UserId};
use examhall_store::{Deleter, Error, ExamChange, NewExam, NewMailToken, Page, RosterEntry, Store, TokenPurpose};

use crate::{EDITOR, Fresh, NOW, exams::exam, on_both, outbox::mail};

on_both!(
    seats_move_with_an_address_and_back_with_its_undo,
    a_roster_with_a_former_address_keeps_the_seat_that_moved,
    a_deleted_account_is_on_no_roster,
    a_seat_that_is_taken_while_its_account_ends_does_not_stay,
    a_roster_that_is_filled_while_an_address_changes_stays_whole,
);

const FORMER: &str = "s0@example.com";
const NEW: &str = "new@example.com";

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

fn token(byte: u8, purpose: TokenPurpose) -> NewMailToken {
    NewMailToken { hash: [byte; 32], purpose, expires_at: NOW.plus(Duration::from_hours(1)) }
}

/// Exams, each with one of these rosters.
async fn exams(fresh: &Fresh, rosters: &[&[&str]]) -> Vec<ExamId> {
    let (author, mut exams) = (fresh.author().await, Vec::new());
    for roster in rosters {
        let empty = NewExam { questions: Vec::new(), ..exam(author) };
        let made = fresh.store.exams.create(&empty, NOW).await.expect("created").value.id;
        fill(&fresh.store, made, roster).await.expect("filled");
        exams.push(made);
    }
    exams
}

async fn fill(store: &Store, exam: ExamId, emails: &[&str]) -> Result<(), Error> {
    let entry = |email: &&str| RosterEntry { email: address(email), name: String::new() };
    let entries: Vec<_> = emails.iter().map(entry).collect();
    store.seats.fill(exam, &entries, true, EDITOR.user, NOW).await.map(drop)
}

/// The addresses that have seats, and whether the account has one.
async fn seats(fresh: &Fresh, exam: ExamId, user: UserId) -> (Vec<String>, bool) {
    let page = Page { limit: 100, after: None };
    let listed = fresh.store.seats.list(exam, page).await.expect("listed").items;
    let mut emails: Vec<_> = listed.iter().map(|seat| seat.entry.email.as_str().to_owned()).collect();
    emails.sort();
    (emails, fresh.store.seats.has(exam, user).await.expect("asked"))
}

/// Gives the account another address; the token that takes it back has this number.
async fn change(store: &Store, user: UserId, new: &str, undo: u8) {
    let link = token(undo + 100, TokenPurpose::EmailChange);
    let asked = store.accounts.ask_for_email(user, &address(new), &link, &mail(10), NOW).await.expect("asked");
    assert_eq!(asked, examhall_store::EmailChange::Mailed);
    let undo = token(undo, TokenPurpose::EmailUndo);
    let changed = store.accounts.change_email(&link.hash, &undo, |_| mail(10), NOW).await.expect("changed");
    assert_eq!(changed, Some(user));
}

async fn seats_move_with_an_address_and_back_with_its_undo(fresh: Fresh) {
    let user = fresh.students(2).await[0];
    let exams = exams(&fresh, &[&[FORMER, "s1@example.com"], &[FORMER, NEW], &[NEW]]).await;
    change(&fresh.store, user, NEW, 1).await;
    assert_eq!(seats(&fresh, exams[0], user).await, (vec![NEW.into(), "s1@example.com".into()], true));
    assert_eq!(seats(&fresh, exams[1], user).await, (vec![NEW.into()], true), "one account, one seat");
    assert_eq!(seats(&fresh, exams[2], user).await, (vec![NEW.into()], true));
    change(&fresh.store, user, "next@example.com", 2).await;
    let reset = token(9, TokenPurpose::Reset);
    let undone = fresh.store.accounts.undo_email(&[1; 32], "$none", &reset, |_| mail(10), NOW).await;
    assert_eq!(undone.expect("undone"), Some(user));
    assert_eq!(seats(&fresh, exams[0], user).await, (vec![FORMER.into(), "s1@example.com".into()], true));
    assert_eq!(seats(&fresh, exams[1], user).await, (vec![FORMER.into()], true));
    assert!(seats(&fresh, exams[2], user).await.1, "it had come by the other address");
}

async fn a_roster_with_a_former_address_keeps_the_seat_that_moved(fresh: Fresh) {
    let user = fresh.students(2).await[0];
    let exams = exams(&fresh, &[&[FORMER, "s1@example.com"], &[FORMER, "next@example.com"]]).await;
    change(&fresh.store, user, NEW, 1).await;
    fill(&fresh.store, exams[0], &[FORMER, "s1@example.com"]).await.expect("filled");
    assert_eq!(seats(&fresh, exams[0], user).await, (vec![NEW.into(), "s1@example.com".into()], true));
    change(&fresh.store, user, "next@example.com", 2).await;
    for roster in [&[FORMER, NEW][..], &[NEW], &["next@example.com", FORMER], &[FORMER]] {
        for exam in &exams {
            fill(&fresh.store, *exam, roster).await.expect("filled");
            assert_eq!(seats(&fresh, *exam, user).await, (vec!["next@example.com".into()], true), "{roster:?}");
        }
    }
    // The address is somebody else's by now.
    let heir = fresh.students(1).await[0];
    let verify = format!("UPDATE users SET verified_at = 1 WHERE email_key = '{FORMER}'");
    fill(&fresh.store, exams[0], &[FORMER]).await.expect("filled");
    assert!(!seats(&fresh, exams[0], heir).await.1, "nobody has proven it");
    fresh.database.sql(&verify).await;
    fill(&fresh.store, exams[0], &[FORMER]).await.expect("filled");
    assert_eq!(seats(&fresh, exams[0], heir).await, (vec![FORMER.into()], true));
    assert!(!seats(&fresh, exams[0], user).await.1);
}

async fn a_deleted_account_is_on_no_roster(fresh: Fresh) {
    let students = fresh.students(2).await;
    let exams = exams(&fresh, &[&[FORMER, "s1@example.com"]]).await;
    fresh.store.attempts.start(exams[0], students[0], NOW).await.expect("started");
    for student in &students {
        let by = Deleter::Owner("$argon2id$...");
        fresh.store.accounts.delete(*student, by, "$unusable", |_| mail(10), NOW).await.expect("deleted");
    }
    assert_eq!(seats(&fresh, exams[0], students[0]).await, (vec![], false));
    let heirs = fresh.students(1).await[0];
    assert!(!seats(&fresh, exams[0], heirs).await.1, "who signs up with the address has no seat");
}

async fn a_seat_that_is_taken_while_its_account_ends_does_not_stay(fresh: Fresh) {
    let (students, exam) = (fresh.students(12).await, exams(&fresh, &[&[]]).await[0]);
    let code = ExamChange { access: Some(Admission::Code), access_code: Some("$code".into()), ..ExamChange::default() };
    fresh.store.exams.change(exam, &code, EDITOR, NOW).await.expect("changed");
    let other = Store::connect(&fresh.database.url()).await.expect("connected");
    for student in students {
        let by = Deleter::Owner("$argon2id$...");
        let (taken, deleted) = tokio::join!(
            other.seats.take(exam, student, "$code", NOW),
            fresh.store.accounts.delete(student, by, "$unusable", |_| mail(10), NOW),
        );
        assert!(matches!(taken, Ok(true) | Err(Error::NotFound)), "{taken:?}");
        deleted.expect("deleted");
    }
    assert_eq!(fresh.database.sql("SELECT COUNT(*) FROM seats").await, "0");
}

async fn a_roster_that_is_filled_while_an_address_changes_stays_whole(fresh: Fresh) {
    let (user, exam) = (fresh.students(1).await[0], exams(&fresh, &[&[FORMER]]).await[0]);
    let other = Store::connect(&fresh.database.url()).await.expect("connected");
    let mut from = FORMER.to_owned();
    for n in 1..8 {
        let to = format!("next{n}@example.com");
        let both = [from.as_str(), to.as_str(), "s9@example.com"];
        let (filled, ()) = tokio::join!(fill(&other, exam, &both), change(&fresh.store, user, &to, n));
        filled.expect("filled");
        assert!(seats(&fresh, exam, user).await.1, "round {n}");
        fill(&other, exam, &[&to]).await.expect("filled");
        from = to;
    }
}
