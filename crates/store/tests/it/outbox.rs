use std::{collections::HashSet, time::Duration};

use examhall_core::{EmailAddress, MailClass, Priority};
use examhall_store::{Backlog, MailOutcome, MailPlace, MailSearch, NewMail, Page};
use serde_json::json;

use crate::{Fresh, NOW, on_both};

on_both!(
    what_was_put_in_comes_out_most_urgent_first,
    a_claim_is_for_one_relay_until_its_hold_ends,
    what_is_queued_is_not_claimed_again,
    relays_at_once_share_the_rows_and_none_gets_one_twice,
    what_became_of_a_mail_is_noted_once_and_then_forgotten,
    a_mail_whose_job_was_lost_waits_again,
    a_request_with_a_key_adds_one_mail_until_that_is_forgotten,
    a_clock_that_ran_ahead_holds_up_no_mail,
    a_failed_mail_that_is_retried_is_missed_where_the_queue_loses_it,
    mails_are_found_by_recipient_class_place_and_time,
    failed_mails_are_kept_longer_than_others,
);

const HOLD: Duration = Duration::from_secs(30);

pub(crate) fn mail(priority: u8) -> NewMail {
    NewMail {
        id: uuid::Uuid::now_v7(),
        class: MailClass::Verification,
        template: "verification".into(),
        to: EmailAddress::parse("ada@example.com").expect("an address"),
        params: json!({"name": "Ada"}),
        sealed: vec![1, 2, 3],
        priority: Priority::new(priority).expect("in range"),
        expires_at: Some(NOW.plus(HOLD)),
        trace: None,
    }
}

async fn what_was_put_in_comes_out_most_urgent_first(fresh: Fresh) {
    let mails = [1, 10, 5, 10].map(mail);
    for mail in &mails {
        fresh.store.outbox.add(mail, NOW).await.expect("added");
    }
    let claimed = fresh.store.outbox.claim(3, HOLD, NOW).await.expect("claimed");
    let ids: Vec<_> = claimed.iter().map(|waiting| waiting.mail.id).collect();
    assert_eq!(ids, [mails[1].id, mails[3].id, mails[2].id]);
    let first = &claimed[0].mail;
    assert_eq!((first.class, first.template.as_str()), (MailClass::Verification, "verification"));
    assert_eq!((first.params["name"].as_str(), first.sealed.as_slice()), (Some("Ada"), [1, 2, 3].as_slice()));
    assert_eq!((first.to.as_str(), first.expires_at), ("ada@example.com", Some(NOW.plus(HOLD))));
    assert_eq!(claimed[0].created_at, NOW);
}

async fn a_claim_is_for_one_relay_until_its_hold_ends(fresh: Fresh) {
    let mail = mail(5);
    fresh.store.outbox.add(&mail, NOW).await.expect("added");
    let claim = async |at| fresh.store.outbox.claim(10, HOLD, at).await.expect("claimed").len();
    assert_eq!(claim(NOW).await, 1);
    assert_eq!(claim(NOW).await, 0);
    assert_eq!(claim(NOW.plus(HOLD)).await, 1, "the relay that had it is taken for dead");
    fresh.store.outbox.release(&[mail.id]).await.expect("released");
    assert_eq!(claim(NOW).await, 1, "the relay that had it could not use it");
}

async fn what_is_queued_is_not_claimed_again(fresh: Fresh) {
    let mail = mail(5);
    fresh.store.outbox.add(&mail, NOW).await.expect("added");
    fresh.store.outbox.claim(10, HOLD, NOW).await.expect("claimed");
    fresh.store.outbox.mark_queued(&[mail.id], NOW).await.expect("marked");
    assert!(fresh.store.outbox.claim(10, HOLD, NOW.plus(HOLD)).await.expect("claimed").is_empty());
}

async fn relays_at_once_share_the_rows_and_none_gets_one_twice(fresh: Fresh) {
    for _ in 0..200 {
        fresh.store.outbox.add(&mail(5), NOW).await.expect("added");
    }
    let relays = (0..4).map(|_| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store.outbox.claim(7, HOLD, NOW).await.expect("claimed");
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|waiting| waiting.mail.id));
            }
        })
    });
    let mut all = Vec::new();
    for relay in relays.collect::<Vec<_>>() {
        all.extend(relay.await.expect("no panic"));
    }
    assert_eq!(all.len(), 200);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 200);
}

const ALL: Page = Page { limit: 10, after: None };

async fn queued(fresh: &Fresh) -> NewMail {
    let mail = mail(5);
    fresh.store.outbox.add(&mail, NOW).await.expect("added");
    fresh.store.outbox.claim(10, HOLD, NOW).await.expect("claimed");
    fresh.store.outbox.mark_queued(&[mail.id], NOW).await.expect("marked");
    mail
}

async fn what_became_of_a_mail_is_noted_once_and_then_forgotten(fresh: Fresh) {
    let (outbox, mail) = (&fresh.store.outbox, queued(&fresh).await);
    let young = NOW.minus(Duration::from_millis(1))..NOW;
    assert!(outbox.open(ALL, young).await.expect("asked").items.is_empty(), "queued just now");
    assert_eq!(outbox.open(ALL, NOW..NOW).await.expect("asked").items, [mail.id]);
    outbox.close(&[mail.id], MailOutcome::Sent, NOW).await.expect("closed");
    outbox.close(&[mail.id], MailOutcome::Failed, NOW.plus(HOLD)).await.expect("too late");
    let record = outbox.get(mail.id).await.expect("asked").expect("found");
    assert_eq!((record.outcome, record.outcome_at), (Some(MailOutcome::Sent), Some(NOW)));
    assert!(outbox.open(ALL, NOW..NOW).await.expect("asked").items.is_empty());
    assert_eq!(outbox.prune(NOW, NOW).await.expect("pruned"), 0);
    assert_eq!(outbox.prune(NOW.plus(HOLD), NOW).await.expect("pruned"), 1);
    assert!(outbox.get(mail.id).await.expect("asked").is_none());
}

async fn a_mail_whose_job_was_lost_waits_again(fresh: Fresh) {
    let (outbox, mail) = (&fresh.store.outbox, queued(&fresh).await);
    assert_eq!(outbox.backlog().await.expect("counted"), Backlog { mails: 0, oldest: None });
    outbox.reopen(&[mail.id]).await.expect("reopened");
    assert_eq!(outbox.backlog().await.expect("counted"), Backlog { mails: 1, oldest: Some(NOW) });
    assert_eq!(outbox.claim(10, HOLD, NOW).await.expect("claimed").len(), 1);
    outbox.mark_queued(&[mail.id], NOW).await.expect("marked");
    outbox.close(&[mail.id], MailOutcome::Removed, NOW).await.expect("closed");
    outbox.reopen(&[mail.id]).await.expect("asked");
    assert_eq!(outbox.backlog().await.expect("counted").mails, 0, "it was removed on purpose");
}

async fn a_request_with_a_key_adds_one_mail_until_that_is_forgotten(fresh: Fresh) {
    let outbox = &fresh.store.outbox;
    let add = |key: &'static [u8]| {
        let (mail, outbox) = (mail(5), outbox.clone());
        async move {
            let before = outbox.add_claimed(&mail, Some(key), HOLD, NOW).await.expect("asked");
            before.map_or(mail.id, |before| before.waiting.mail.id)
        }
    };
    let adds: Vec<_> = (0..10).map(|_| tokio::spawn(add(b"a key"))).collect();
    let mut ids = Vec::new();
    for add in adds {
        ids.push(add.await.expect("no panic"));
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_ne!(add(b"another").await, ids[0]);
    assert!(outbox.claim(10, HOLD, NOW).await.expect("claimed").is_empty(), "its maker queues it");
    assert_eq!(outbox.claim(10, HOLD, NOW.plus(HOLD)).await.expect("claimed").len(), 2, "or has died");
    outbox.close(&ids[..1], MailOutcome::Sent, NOW).await.expect("closed");
    assert_eq!(outbox.prune(NOW.plus(HOLD), NOW).await.expect("pruned"), 1);
    assert_ne!(add(b"a key").await, ids[0], "a mail of its own");
}

async fn a_clock_that_ran_ahead_holds_up_no_mail(fresh: Fresh) {
    let (outbox, ahead) = (&fresh.store.outbox, NOW.plus(Duration::from_hours(1)));
    outbox.add(&mail(5), ahead).await.expect("added");
    assert_eq!(outbox.claim(10, HOLD, NOW).await.expect("claimed").len(), 1);
    assert!(outbox.claim(10, HOLD, NOW).await.expect("claimed").is_empty(), "it is somebody's");
    assert_eq!(outbox.claim(10, HOLD, ahead).await.expect("claimed").len(), 1);
    let mails = outbox.claim(10, HOLD, NOW).await.expect("claimed");
    assert_eq!(mails.len(), 1, "no claim lasts for an hour");
    outbox.mark_queued(&[mails[0].mail.id], ahead).await.expect("marked");
    let open = outbox.open(ALL, NOW.minus(HOLD)..NOW).await.expect("asked");
    assert_eq!(open.items.len(), 1, "whether the queue still has it is not asked an hour later");
}

async fn a_failed_mail_that_is_retried_is_missed_where_the_queue_loses_it(fresh: Fresh) {
    let (outbox, mail) = (&fresh.store.outbox, queued(&fresh).await);
    outbox.mark_retried(&[mail.id], NOW.plus(HOLD)).await.expect("marked");
    assert_eq!(outbox.open(ALL, NOW..NOW).await.expect("asked").items, [mail.id], "it had not failed");
    outbox.close(&[mail.id], MailOutcome::Failed, NOW).await.expect("closed");
    outbox.mark_retried(&[mail.id], NOW.plus(HOLD)).await.expect("marked");
    assert!(outbox.open(ALL, NOW..NOW.plus(HOLD)).await.expect("asked").items.is_empty(), "queued again just now");
    assert_eq!(outbox.open(ALL, NOW.plus(HOLD)..NOW.plus(HOLD)).await.expect("asked").items, [mail.id]);
    outbox.close(&[mail.id], MailOutcome::Sent, NOW).await.expect("closed");
    outbox.mark_retried(&[mail.id], NOW.plus(HOLD)).await.expect("marked");
    assert_eq!(outbox.get(mail.id).await.expect("asked").expect("found").outcome, Some(MailOutcome::Sent));
}

async fn mails_are_found_by_recipient_class_place_and_time(fresh: Fresh) {
    let outbox = &fresh.store.outbox;
    let to = |address: &str| NewMail { to: EmailAddress::parse(address).expect("an address"), ..mail(5) };
    let mails = [to("Ada@example.com"), to("bob@example.com"), to("ada@example.com")];
    let reset = NewMail { class: MailClass::Reset, ..to("ADA@example.com") };
    for (n, mail) in (0..).zip(mails.iter().chain([&reset])) {
        outbox.add(mail, NOW.plus(Duration::from_secs(n))).await.expect("added");
    }
    let find = async |search: MailSearch| {
        let mut page = Page { limit: 2, after: None };
        let mut ids = Vec::new();
        loop {
            let found = outbox.search(&search, page).await.expect("searched");
            ids.extend(found.items.iter().map(|row| row.id));
            page.after = found.next;
            if page.after.is_none() {
                return ids;
            }
        }
    };
    let ada = MailSearch { to: Some("ada@example.com".to_owned()), ..MailSearch::default() };
    assert_eq!(find(ada.clone()).await, [reset.id, mails[2].id, mails[0].id]);
    let class = Some(MailClass::Verification);
    assert_eq!(find(MailSearch { class, ..ada.clone() }).await, [mails[2].id, mails[0].id]);
    let after = Some(NOW.plus(Duration::from_secs(1)));
    assert_eq!(find(MailSearch { after, ..ada.clone() }).await, [reset.id, mails[2].id]);
    assert_eq!(find(MailSearch { before: after, ..ada.clone() }).await, [mails[0].id]);
    outbox.mark_queued(&[mails[0].id, mails[1].id], NOW).await.expect("marked");
    outbox.close(&[mails[1].id], MailOutcome::Removed, NOW).await.expect("closed");
    let at = |place| MailSearch { place: Some(place), ..MailSearch::default() };
    assert_eq!(find(at(MailPlace::Outbox)).await, [reset.id, mails[2].id]);
    assert_eq!(find(at(MailPlace::Ended(MailOutcome::Removed))).await, [mails[1].id]);
    let rows = outbox.rows(&[mails[1].id, uuid::Uuid::now_v7()]).await.expect("read");
    assert_eq!((rows.len(), rows[0].to.as_str(), rows[0].enqueued_at), (1, "bob@example.com", Some(NOW)));
    assert_eq!((rows[0].outcome, rows[0].priority.level()), (Some(MailOutcome::Removed), 5));
}

async fn failed_mails_are_kept_longer_than_others(fresh: Fresh) {
    let outbox = &fresh.store.outbox;
    let mut ids = Vec::new();
    for outcome in [MailOutcome::Sent, MailOutcome::Failed, MailOutcome::Removed] {
        let mail = queued(&fresh).await;
        outbox.close(&[mail.id], outcome, NOW).await.expect("closed");
        ids.push(mail.id);
    }
    assert_eq!(outbox.prune(NOW.plus(HOLD), NOW).await.expect("pruned"), 2);
    assert!(outbox.get(ids[1]).await.expect("asked").is_some());
    assert_eq!(outbox.prune(NOW.plus(HOLD), NOW.plus(HOLD)).await.expect("pruned"), 1);
}
