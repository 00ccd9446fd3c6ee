use super::*;
use crate::{MailClass, Priority};

/// 2026-11-23 10:05:00 UTC.
const NOW: i64 = 1_795_428_300_000;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(NOW + minutes * 60_000)
}

fn provider(name: &str) -> ProviderStatus {
    ProviderStatus::closed(name)
}

fn broken(name: &str, circuit: Circuit, failure: &str, reply: Option<&str>) -> ProviderStatus {
    ProviderStatus {
        circuit,
        since: Some(at(-3)),
        failure: Some(failure.to_owned()),
        reply: reply.map(ToOwned::to_owned),
        next_probe_at: Some(Timestamp::from_millis(NOW + 125_000)),
        ..provider(name)
    }
}

fn mailer(providers: Vec<ProviderStatus>) -> MailerStatus {
    MailerStatus {
        id: "m1".to_owned(),
        host: "one".to_owned(),
        version: "1.0.0".to_owned(),
        started_at: at(-60),
        seen_at: at(0),
        slots: 5,
        busy: 2,
        providers,
    }
}

fn facts() -> MailFacts {
    MailFacts {
        now: at(0),
        write_refusal: None,
        pause: None,
        mailers: vec![mailer(vec![provider("mail.example.com:587")])],
        waiting: backlog_by_class(&[], &[]),
        recent: RecentMails::default(),
    }
}

fn waiting(priority: u32, ms: i64) -> Vec<ClassBacklog> {
    let oldest = Some(Timestamp::from_millis(NOW - ms));
    backlog_by_class(&[PriorityBacklog { priority, jobs: 7, oldest }], &[])
}

fn with(providers: Vec<ProviderStatus>) -> MailFacts {
    MailFacts { mailers: vec![mailer(providers)], ..facts() }
}

fn recent(sent: u64, failed: u64) -> MailFacts {
    MailFacts { recent: RecentMails { sent, failed, last_failure: Some("550 5.7.1 at rcpt".to_owned()) }, ..facts() }
}

#[track_caller]
fn says(facts: &MailFacts, level: HealthLevel, sentence: &str) {
    let health = mail_health(facts);
    assert_eq!((health.sentence.as_str(), health.level), (sentence, level));
    assert!(health.link.starts_with("/console"));
    assert_eq!(health.advice.is_empty(), level == HealthLevel::Good, "what to do: {}", health.advice);
}

use HealthLevel::{Bad, Good, Warning};

#[test]
fn nothing_waits() {
    says(&facts(), Good, "Yes. No mail waits.");
}

#[test]
fn oldest_urgent_mail_is_named_with_its_wait() {
    says(&MailFacts { waiting: waiting(1, 400), ..facts() }, Good, "Yes. The oldest urgent mail waits 0.4 s.");
    says(&MailFacts { waiting: waiting(6, 130_000), ..facts() }, Good, "Yes. The oldest mail waits 2 min.");
}

#[test]
fn pause_is_named_with_operator_and_time() {
    let paused = |by: Option<&str>, reason: Option<&str>| {
        let own = |text: &str| text.to_owned();
        MailFacts { pause: Some(Pause { by: by.map(own), at: by.map(|_| at(-4)), reason: reason.map(own) }), ..facts() }
    };
    says(&paused(Some("Ada"), None), Bad, "No: paused by Ada at 10:01.");
    says(&paused(Some("Ada"), Some("SPF is broken")), Bad, "No: paused by Ada at 10:01 (SPF is broken).");
    says(&paused(None, None), Bad, "No: paused.");
    let no_mailer = MailFacts { mailers: Vec::new(), ..paused(Some("Ada"), None) };
    says(&no_mailer, Bad, "No: paused by Ada at 10:01.");
}

#[test]
fn missing_mailer_is_said() {
    says(&MailFacts { mailers: Vec::new(), ..facts() }, Bad, "No mailer runs.");
}

#[test]
fn open_circuit_is_named_with_reply_and_next_try() {
    let busy = broken("mail.example.com:587", Circuit::Open, "throttled", Some("451 4.7.1"));
    says(&with(vec![busy]), Warning, "Late: mail.example.com answers 451 4.7.1 since 10:02; next try 10:07:05.");
    let silent = broken("mail.example.com:587", Circuit::Open, "unavailable", None);
    says(&with(vec![silent]), Warning, "Late: mail.example.com does not answer since 10:02; next try 10:07:05.");
    let folder = broken("file:data/mail", Circuit::Open, "unavailable", None);
    says(&with(vec![folder]), Warning, "Late: file:data/mail cannot be written since 10:02; next try 10:07:05.");
}

#[test]
fn circuit_that_needs_an_operator_is_a_no() {
    for (failure, reply, expected) in [
        ("login_refused", Some("535 5.7.8"), "refuses our login (535 5.7.8)"),
        ("sender_refused", Some("550 5.7.1"), "refuses our sender (550 5.7.1)"),
        ("blocked", Some("554 5.7.1"), "refuses our host (554 5.7.1)"),
        ("refuses_all", Some("550"), "refuses every mail (550)"),
        ("login_refused", None, "refuses our login"),
    ] {
        let broken = broken("mail.example.com:587", Circuit::NeedsOperator, failure, reply);
        let sentence = format!("No: mail.example.com {expected} since 10:02; next try 10:07:05.");
        says(&with(vec![broken]), Bad, &sentence);
    }
    let insecure = broken("mail.example.com:587", Circuit::Open, "insecure", None);
    let sentence = "No: mail.example.com offers no TLS that is trusted since 10:02; next try 10:07:05.";
    says(&with(vec![insecure]), Bad, sentence);
}

#[test]
fn used_up_rate_counts_only_if_mails_wait() {
    let held =
        ProviderStatus { circuit: Circuit::Limited, held_until: Some(at(15)), ..provider("mail.example.com:587") };
    says(&with(vec![held.clone()]), Good, "Yes. No mail waits.");
    let waits = MailFacts { waiting: waiting(10, 1_000), ..with(vec![held]) };
    says(&waits, Warning, "Late: the rate of mail.example.com is used up until 10:20.");
}

#[test]
fn half_open_circuit_is_said() {
    let half_open = broken("mail.example.com:587", Circuit::HalfOpen, "unavailable", None);
    let sentence = "Late: mail.example.com is tried out with one mail at a time, after an outage since 10:02.";
    says(&with(vec![half_open]), Warning, sentence);
}

#[test]
fn outage_of_one_of_several_providers_is_a_yes() {
    let first = broken("mail.example.com:587", Circuit::Open, "unavailable", Some("421 4.3.2"));
    let sentence = "Yes, by backup.example.net: mail.example.com answers 421 4.3.2 since 10:02.";
    says(&with(vec![first.clone(), provider("backup.example.net:465")]), Warning, sentence);
    let other = mailer(vec![provider("mail.example.com:587")]);
    let both = MailFacts { mailers: vec![mailer(vec![first]), other], ..facts() };
    let sentence = "Yes, but not from every mailer: mail.example.com answers 421 4.3.2 since 10:02.";
    says(&both, Warning, sentence);
}

#[test]
fn wait_beyond_the_target_is_late() {
    let urgent = MailFacts { waiting: waiting(1, 95_000), ..facts() };
    let sentence = "Late: the oldest urgent mail waits 95 s, and its target is 60 s: 2 of 5 slots are busy.";
    says(&urgent, Warning, sentence);
    let mut busy = MailFacts { waiting: waiting(10, 3_600_000), ..facts() };
    busy.mailers[0].busy = 5;
    let sentence = "Late: the oldest result mail waits 60 min, and its target is 15 min: all 5 slots are busy.";
    says(&busy, Warning, sentence);
    says(&MailFacts { waiting: waiting(1, 60_000), ..facts() }, Good, "Yes. The oldest urgent mail waits 60 s.");
}

#[test]
fn mail_that_stays_in_the_outbox_is_late() {
    let outbox = OutboxBacklog { class: MailClass::Reset, mails: 3, oldest: Some(at(-2)) };
    let facts = MailFacts { waiting: backlog_by_class(&[], &[outbox]), ..facts() };
    let sentence =
        "Late: the oldest urgent mail waits 2 min, and its target is 60 s: 3 mails are not in the queue yet.";
    says(&facts, Warning, sentence);
}

#[test]
fn failing_mails_are_no_yes() {
    let sentence = "No: 9 of 10 mails failed within ten minutes, the last with 550 5.7.1 at rcpt.";
    says(&recent(1, 9), Bad, sentence);
    let sentence = "Yes, but 20 of 120 mails failed within ten minutes, the last with 550 5.7.1 at rcpt.";
    says(&recent(100, 20), Warning, sentence);
    says(&recent(0, 2), Good, "Yes. No mail waits.");
    says(&recent(100, 5), Good, "Yes. No mail waits.");
}

#[test]
fn redis_that_does_not_answer_is_said() {
    let health = MailHealth::redis_unavailable();
    assert_eq!((health.level, health.sentence.as_str()), (Bad, "No: Redis does not answer."));
}

#[test]
fn another_day_is_named() {
    let pause = Some(Pause { by: Some("Ada".to_owned()), at: Some(at(-24 * 60)), reason: None });
    says(&MailFacts { pause, ..facts() }, Bad, "No: paused by Ada at 2026-11-22 10:05.");
}

#[test]
fn classes_sum_up_queue_and_outbox() {
    let queue = [(0, 1, -1), (1, 2, -2), (6, 3, -3), (10, 4, -4), (3, 5, -5)]
        .map(|(priority, jobs, minutes)| PriorityBacklog { priority, jobs, oldest: Some(at(minutes)) });
    let outbox = [
        (MailClass::Verification, 1, -9),
        (MailClass::Reset, 2, -1),
        (MailClass::Other, 4, -7),
        (MailClass::Invitation, 5, -6),
    ]
    .map(|(class, mails, minutes)| OutboxBacklog { class, mails, oldest: Some(at(minutes)) });
    let sums: Vec<_> = backlog_by_class(&queue, &outbox)
        .iter()
        .map(|one| (one.class.as_str(), one.queued, one.outbox, one.waits(at(0)).map(|ms| ms / 60_000)))
        .collect();
    assert_eq!(sums, [("urgent", 2, 3, Some(9)), ("result", 7, 0, Some(4)), ("other", 6, 9, Some(7))]);
}

#[test]
fn spans_and_numbers_are_short() {
    let spans = [0, 444, 9_999, 10_000, 119_999, 120_000, 7_200_000, 172_800_000].map(words::span);
    assert_eq!(spans, ["0.0 s", "0.4 s", "9.9 s", "10 s", "119 s", "2 min", "2 h", "2 days"]);
    assert_eq!(
        [1, 0, 999, 1_234, 10_000, 10_001].map(words::mails),
        ["1 mail", "0 mails", "999 mails", "1,234 mails", "10,000 mails", "10,000+ mails"]
    );
}

#[test]
fn moments_that_no_clock_has_shown_make_nothing_late() {
    for strange in [i64::MIN, -1, Timestamp::MAX_TEXT.as_millis() + 1, i64::MAX] {
        let [class, ..] =
            &backlog_by_class(&[PriorityBacklog::new(Priority::HIGHEST.to_bullmq(), 3, strange)], &[])[..]
        else {
            panic!("three classes")
        };
        assert_eq!((class.mails(), class.since(), class.is_late(at(0))), (3, None, false), "{strange}");
    }
    assert_eq!(PriorityBacklog::new(0, 1, NOW).oldest, Some(at(0)));
}

#[test]
fn numbers_have_commas_and_counts_end_at_ten_thousand() {
    for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (10_000, "10,000"), (10_001, "10,000+")] {
        assert_eq!(bounded_count(n), text);
    }
    assert_eq!(with_commas(1_234_567), "1,234,567");
}

#[test]
fn refused_writes_come_before_everything_that_follows_from_them() {
    for (code, sentence) in [
        ("OOM", "No: Redis is full (OOM)."),
        ("READONLY", "No: Redis is a read-only replica (READONLY)."),
        ("MISCONF", "No: Redis cannot write to its disk (MISCONF)."),
        ("NOREPLICAS", "No: Redis has too few replicas (NOREPLICAS)."),
        ("NOPERM", "No: Redis refuses writes (NOPERM)."),
    ] {
        let facts = MailFacts { write_refusal: Some(code.to_owned()), mailers: Vec::new(), ..facts() };
        says(&facts, Bad, sentence);
    }
}
