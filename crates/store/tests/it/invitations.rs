//! Invitations of those on a roster, and the accounts that are made by their links.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use examhall_core::{EmailAddress, Exam, ExamId, MailClass, Priority, Timestamp};
use examhall_store::{
    Acceptance, Accepted, Error, ExamChange, Guest, Guests, Invited, NewInvitation, NewMail, Page, RosterEntry, Store,
};

use crate::{EDITOR, Fresh, NOW, account, exams::new_exam, on_both, outbox::mail};

on_both!(
    of_invitations_at_once_each_student_gets_one,
    those_that_are_named_are_invited_again_after_a_minute,
    drafts_and_exams_that_are_over_invite_nobody,
    of_acceptances_at_once_one_makes_the_account,
    a_token_is_good_for_its_seat_alone,
    an_invitation_ends_what_a_stranger_signed_up,
);

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

fn entry(n: usize) -> RosterEntry {
    RosterEntry { email: address(&format!("guest{n}@x.example")), name: format!("Guest {n}") }
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

/// A published exam with that many on its roster.
async fn with_guests(fresh: &Fresh, count: usize) -> ExamId {
    let exam = new_exam(fresh).await;
    let entries: Vec<_> = (0..count).map(entry).collect();
    fresh.store.seats.fill(exam, &entries, true, EDITOR.user, NOW).await.expect("filled");
    exam
}

async fn invite(store: &Store, exam: ExamId, guests: Guests<'_>, now: Timestamp) -> Result<Invited, Error> {
    let next = AtomicU8::new(u8::try_from(now.as_millis() / 1000 % 60).expect("seconds"));
    let make = |exam: &Exam, guest: Guest| {
        assert_eq!(exam.title, "Algebra");
        let mut hash = [next.fetch_add(1, Ordering::Relaxed); 32];
        hash[..8].copy_from_slice(&now.as_millis().to_be_bytes());
        let mail = NewMail {
            class: MailClass::Invitation,
            template: "exam-invitation".into(),
            to: guest.entry.email,
            priority: Priority::INVITATION,
            ..mail(1)
        };
        NewInvitation { hash, expires_at: now.plus(DAY), mail }
    };
    store.seats.invite(exam, guests, make, EDITOR.user, now).await
}

/// Keeps an invitation of this token for the first guest.
async fn invited(fresh: &Fresh, exam: ExamId, token: [u8; 32]) {
    let make = |_: &Exam, guest: Guest| {
        let mail = NewMail { to: guest.entry.email, ..mail(3) };
        NewInvitation { hash: token, expires_at: NOW.plus(DAY), mail }
    };
    let to = [entry(0).email];
    let queued = fresh.store.seats.invite(exam, Guests::These(&to), make, EDITOR.user, NOW).await;
    assert_eq!(queued.expect("invited"), Invited::Queued(1));
}

fn chosen(password: &str) -> Acceptance {
    Acceptance { name: "Grace".into(), password_hash: password.into(), locale: None }
}

async fn accept(store: &Store, token: [u8; 32], now: Timestamp) -> Accepted {
    store.seats.accept(&token, &chosen("$chosen"), now).await.expect("asked")
}

async fn of_invitations_at_once_each_student_gets_one(fresh: Fresh) {
    let exam = with_guests(&fresh, 40).await;
    let invitations = (0..4).map(|n| {
        let store = fresh.store.clone();
        let now = NOW.plus(Duration::from_secs(10 * n));
        tokio::spawn(async move { invite(&store, exam, Guests::Rest, now).await.expect("invited") })
    });
    let mut queued = 0;
    for invitation in invitations.collect::<Vec<_>>() {
        let Invited::Queued(some) = invitation.await.expect("no panic") else { unreachable!("the rest is known") };
        queued += some;
    }
    assert_eq!(queued, 40);
    let mails = fresh.store.outbox.claim(100, MINUTE, NOW).await.expect("claimed");
    let first = &mails[0].mail;
    assert_eq!((mails.len(), first.class, first.priority.level()), (40, MailClass::Invitation, 3));
    assert_eq!(first.to, entry(0).email);
    let page = Page { limit: 100, after: None };
    let seats = fresh.store.seats.list(exam, page).await.expect("listed").items;
    assert!(seats.iter().all(|seat| seat.invited_at.is_some()), "{seats:?}");
    let (late, later) = (vec![entry(40)], NOW.plus(MINUTE));
    fresh.store.seats.fill(exam, &late, false, EDITOR.user, NOW).await.expect("filled");
    assert_eq!(invite(&fresh.store, exam, Guests::Rest, later).await.expect("invited"), Invited::Queued(1));
}

async fn those_that_are_named_are_invited_again_after_a_minute(fresh: Fresh) {
    let exam = with_guests(&fresh, 3).await;
    let some = [entry(2).email, entry(0).email, entry(2).email];
    let again = async |seconds| {
        let now = NOW.plus(Duration::from_secs(seconds));
        invite(&fresh.store, exam, Guests::These(&some), now).await.expect("asked")
    };
    assert_eq!(again(0).await, Invited::Queued(2));
    assert_eq!(again(59).await, Invited::Queued(0));
    assert_eq!(again(60).await, Invited::Queued(2));
    let strangers = [entry(1).email, address("stranger@x.example"), address("other@x.example")];
    let unknown = invite(&fresh.store, exam, Guests::These(&strangers), NOW).await.expect("asked");
    assert_eq!(unknown, Invited::Unknown(vec![1, 2]));
    let rest = invite(&fresh.store, exam, Guests::Rest, NOW.plus(Duration::from_secs(61))).await.expect("invited");
    assert_eq!(rest, Invited::Queued(1), "nobody was invited with the strangers");
}

async fn drafts_and_exams_that_are_over_invite_nobody(fresh: Fresh) {
    let exam = with_guests(&fresh, 1).await;
    let change = ExamChange { closes_at: examhall_core::Patch::Set(NOW.plus(MINUTE)), ..ExamChange::default() };
    fresh.store.exams.change(exam, &change, EDITOR, NOW).await.expect("changed");
    let over = invite(&fresh.store, exam, Guests::Rest, NOW.plus(MINUTE)).await;
    assert!(matches!(over, Err(Error::WrongState(_))), "{over:?}");
    fresh.database.sql("UPDATE exams SET status = 'draft'").await;
    let draft = invite(&fresh.store, exam, Guests::Rest, NOW).await;
    assert!(matches!(draft, Err(Error::WrongState(_))), "{draft:?}");
    let unknown = invite(&fresh.store, ExamId(uuid::Uuid::nil()), Guests::Rest, NOW).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
}

async fn of_acceptances_at_once_one_makes_the_account(fresh: Fresh) {
    let exam = with_guests(&fresh, 1).await;
    invited(&fresh, exam, [1; 32]).await;
    let found = fresh.store.seats.invitation(&[1; 32], NOW).await.expect("asked").expect("good");
    assert_eq!((found.exam.as_str(), found.entry.name.as_str(), found.has_account), ("Algebra", "Guest 0", false));
    let acceptances = (0..4).map(|_| {
        let store = fresh.store.clone();
        tokio::spawn(async move { accept(&store, [1; 32], NOW).await })
    });
    let (mut accounts, mut known) = (Vec::new(), 0);
    for acceptance in acceptances.collect::<Vec<_>>() {
        match acceptance.await.expect("no panic") {
            Accepted::Account(user) => accounts.push(user),
            Accepted::HasAccount => known += 1,
            Accepted::Refused => {}
        }
    }
    assert_eq!(accounts.len(), 1, "{known} found it");
    let account = fresh.store.accounts.get(accounts[0]).await.expect("found").value;
    assert_eq!((account.name.as_str(), account.verified, account.email), ("Grace", true, entry(0).email));
    assert!(fresh.store.seats.has(exam, accounts[0]).await.expect("asked"));
    let found = fresh.store.seats.invitation(&[1; 32], NOW).await.expect("asked").expect("leads to a login");
    assert!(found.has_account);
    fresh.database.sql("DELETE FROM users WHERE name = 'Grace'").await;
    assert_eq!(accept(&fresh.store, [1; 32], NOW).await, Accepted::Refused, "it makes one account");
    assert_eq!(fresh.store.seats.invitation(&[1; 32], NOW).await.expect("asked"), None);
}

async fn a_token_is_good_for_its_seat_alone(fresh: Fresh) {
    let exam = with_guests(&fresh, 2).await;
    invited(&fresh, exam, [1; 32]).await;
    assert_eq!(accept(&fresh.store, [2; 32], NOW).await, Accepted::Refused, "unknown");
    assert_eq!(accept(&fresh.store, [1; 32], NOW.plus(DAY)).await, Accepted::Refused, "expired");
    assert_eq!(fresh.store.seats.invitation(&[1; 32], NOW.plus(DAY)).await.expect("asked"), None);
    assert!(fresh.store.seats.remove(exam, &entry(0).email, EDITOR.user, NOW).await.expect("removed"));
    assert_eq!(accept(&fresh.store, [1; 32], NOW).await, Accepted::Refused, "its seat is taken away");
    fresh.store.seats.fill(exam, &[entry(0)], false, EDITOR.user, NOW).await.expect("filled");
    assert_eq!(accept(&fresh.store, [1; 32], NOW).await, Accepted::Refused, "another seat");
    assert_eq!(fresh.store.accounts.by_email(&entry(0).email).await.expect("asked").map(|found| found.id), None);
    invited(&fresh, exam, [3; 32]).await;
    assert_eq!(fresh.store.accounts.prune(NOW.plus(DAY * 3)).await.expect("pruned"), 1, "the other went with its seat");
}

async fn an_invitation_ends_what_a_stranger_signed_up(fresh: Fresh) {
    let exam = with_guests(&fresh, 1).await;
    invited(&fresh, exam, [1; 32]).await;
    let stranger = account("guest0@x.example", examhall_core::Role::Student);
    let token = crate::accounts::token(9);
    fresh.store.accounts.sign_up(&stranger, &token, &mail(10), None, NOW).await.expect("signed up");
    let Accepted::Account(user) = accept(&fresh.store, [1; 32], NOW).await else {
        unreachable!("nobody has proven it")
    };
    assert!(!fresh.store.accounts.verify(&[9; 32], None, NOW).await.expect("asked"), "the stranger's link");
    let found = fresh.store.accounts.get(user).await.expect("found").value;
    assert_eq!((found.name.as_str(), found.password_hash.as_str(), found.verified), ("Grace", "$chosen", true));
    // One that an administrator has invited waits for the link in that invitation.
    fresh.database.sql("UPDATE seats SET invited_at = NULL").await;
    invited(&fresh, exam, [2; 32]).await;
    fresh.database.sql("UPDATE users SET verified_at = NULL, role = 'author' WHERE name = 'Grace'").await;
    assert_eq!(accept(&fresh.store, [2; 32], NOW).await, Accepted::HasAccount);
}
