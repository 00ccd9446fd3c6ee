use super::*;

fn fault(phase: Phase, kind: Kind) -> Fault {
    Fault { phase, kind }
}

fn refusal(phase: Phase, code: u16, words: &str) -> Verdict {
    judge(&fault(phase, Kind::Refusal(Reply::new(code, words))), true)
}

const PASSING: Verdict = Verdict::Provider(Trouble::Passing);
const BLOCKED: Verdict = Verdict::Provider(Trouble::Blocked);
const INSECURE: Verdict = Verdict::Provider(Trouble::Insecure);
const LOG_IN: Verdict = Verdict::Provider(Trouble::LogIn);
const SENDER: Verdict = Verdict::Provider(Trouble::Sender);
const FAILED: Verdict = Verdict::Permanent(Suppress::No);
const UNKNOWN_USER: Verdict = Verdict::Permanent(Suppress::Now);

/// Every line must be judged so, at every phase named.
fn check(phases: &[Phase], rows: &[(u16, &str)], expected: Verdict) {
    for phase in phases {
        for (code, words) in rows {
            assert_eq!(refusal(*phase, *code, words), expected, "{phase:?}: {code} {words}");
        }
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_the_providers_trouble() {
    for phase in [Phase::Connect, Phase::Tls, Phase::Greeting] {
        assert_eq!(judge(&fault(phase, Kind::Silence("refused".into())), true), PASSING);
    }
}

#[test]
fn a_bad_certificate_and_a_missing_starttls_are_insecure() {
    assert_eq!(judge(&fault(Phase::Tls, Kind::Untrusted("expired".into())), true), INSECURE);
    assert_eq!(judge(&fault(Phase::Connect, Kind::Untrusted("expired".into())), true), INSECURE);
    assert_eq!(judge(&fault(Phase::Tls, Kind::NotOffered("STARTTLS")), true), INSECURE);
}

#[test]
fn a_greeting_of_4yz_passes() {
    check(&[Phase::Greeting, Phase::Ehlo], &[(421, "4.3.2 busy"), (450, "x")], PASSING);
}

#[test]
fn a_greeting_of_5yz_means_that_we_are_blocked() {
    check(&[Phase::Greeting], &[(521, "no mail here"), (554, "5.7.1 blocked")], BLOCKED);
}

#[test]
fn a_log_in_that_cannot_be_checked_now_passes() {
    check(&[Phase::Auth], &[(432, "4.7.12 x"), (454, "4.7.0 x")], PASSING);
}

#[test]
fn a_refused_log_in_holds_the_provider_back() {
    let codes = [500, 501, 502, 503, 504, 530, 534, 535, 538].map(|code| (code, "5.7.8 no"));
    check(&[Phase::Auth], &codes, LOG_IN);
    assert_eq!(judge(&fault(Phase::Auth, Kind::NotOffered("AUTH")), true), LOG_IN);
    check(&[Phase::Mail, Phase::Rcpt, Phase::Data], &[(530, "5.7.0 log in first")], LOG_IN);
}

#[test]
fn a_throttled_sender_waits_without_losing_an_attempt() {
    let rows = [(452, "4.3.1 full"), (451, "4.3.2 busy"), (450, "4.7.1 slow down"), (454, "Throttling failure")];
    check(&[Phase::Mail, Phase::Data], &rows, PASSING);
}

#[test]
fn a_sender_that_is_refused_for_a_recipient_says_nothing_of_the_recipient() {
    let rows = [
        (550, "5.1.8 <x@y>: Sender address rejected: Domain not found"),
        (550, "5.1.7 bad sender"),
        (553, "5.7.1 <x@y>: Sender address rejected: not owned by user ada"),
        (550, "<x@y>: sender address rejected"),
    ];
    check(&[Phase::Rcpt], &rows, SENDER);
    for (code, words) in rows {
        assert_eq!(judge(&fault(Phase::Rcpt, Kind::Refusal(Reply::new(code, words))), false), FAILED);
    }
    check(&[Phase::Rcpt], &[(450, "4.1.8 <x@y>: Sender address rejected: Domain not found")], Verdict::Retry);
}

#[test]
fn a_refused_sender_holds_the_provider_back_only_where_it_is_mail_from() {
    let rows =
        [(550, "5.1.7 x"), (553, "5.1.8 x"), (550, "5.7.1 not yours"), (553, "sender refused"), (501, "5.1.7 x")];
    check(&[Phase::Mail], &rows, SENDER);
    for (code, words) in rows {
        assert_eq!(judge(&fault(Phase::Mail, Kind::Refusal(Reply::new(code, words))), false), FAILED);
    }
}

#[test]
fn a_mail_that_no_server_takes_fails() {
    check(&[Phase::Mail], &[(552, "5.3.4 too big"), (501, "x"), (504, "x"), (555, "x"), (554, "5.6.1 media")], FAILED);
}

#[test]
fn greylisting_and_routes_that_are_down_take_the_slow_lane() {
    let rows = [(450, "4.2.0 greylisted"), (451, "4.7.1 try later"), (450, "4.4.1 no route"), (451, "4.4.4 x")];
    check(&[Phase::Rcpt], &rows, Verdict::SlowLane);
}

#[test]
fn a_mailbox_that_is_full_or_closed_for_now_takes_the_slow_lane() {
    check(&[Phase::Rcpt], &[(450, "4.2.1 closed"), (452, "4.2.2 full")], Verdict::SlowLane);
}

#[test]
fn an_address_that_does_not_exist_is_suppressed() {
    let rows =
        [(550, "5.1.1 no such user"), (551, "5.1.6 moved"), (553, "5.1.3 x"), (550, "5.2.1 x"), (556, "5.1.10 x")];
    check(&[Phase::Rcpt], &rows, UNKNOWN_USER);
    check(&[Phase::Rcpt], &[(550, "without an enhanced code")], FAILED);
}

#[test]
fn a_full_mailbox_is_suppressed_where_it_stays_so() {
    check(&[Phase::Rcpt, Phase::Dot], &[(552, "5.2.2 full")], Verdict::Permanent(Suppress::WhenRepeated));
}

#[test]
fn a_policy_refusal_fails_the_mail_and_says_nothing_of_the_address() {
    check(&[Phase::Rcpt, Phase::Dot], &[(550, "5.7.1 spam"), (554, "5.7.26 SPF")], FAILED);
    let is = |phase, code, words: &str| is_policy(phase, &Reply::new(code, words));
    assert!(is(Phase::Rcpt, 550, "5.7.1 spam") && is(Phase::Dot, 554, "5.7.26 SPF"));
    for (phase, code, words) in [
        (Phase::Mail, 550, "5.7.1 not your address"),
        (Phase::Rcpt, 550, "5.7.1 <x@y>: Sender address rejected: not owned by user ada"),
        (Phase::Rcpt, 530, "5.7.0 log in first"),
        (Phase::Rcpt, 550, "5.1.1 no such user"),
        (Phase::Dot, 550, "4.7.1 contradicts itself"),
    ] {
        assert!(!is(phase, code, words), "{phase:?}: {code} {words}");
    }
}

#[test]
fn a_mail_that_needs_what_is_not_offered_fails() {
    assert_eq!(judge(&fault(Phase::Mail, Kind::NotOffered("SMTPUTF8")), true), FAILED);
}

#[test]
fn what_breaks_before_the_dot_was_not_sent() {
    for phase in [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Body] {
        assert_eq!(judge(&fault(phase, Kind::Silence("reset".into())), true), PASSING);
        assert_eq!(judge(&fault(phase, Kind::Unreadable("?".into())), true), PASSING);
    }
}

#[test]
fn the_final_reply_decides() {
    check(&[Phase::Dot], &[(421, "4.3.2 x"), (450, "x"), (452, "4.3.1 x"), (451, "4.7.1 x")], Verdict::Retry);
    check(&[Phase::Dot], &[(550, "x"), (554, "5.6.0 x"), (552, "5.3.4 x")], FAILED);
}

#[test]
fn nobody_knows_what_became_of_a_mail_whose_dot_was_not_answered() {
    assert_eq!(judge(&fault(Phase::Dot, Kind::Silence("reset".into())), true), Verdict::Ambiguous);
}

#[test]
fn a_server_that_makes_no_sense_after_the_dot_is_to_blame_and_the_mail_in_doubt() {
    let verdict = judge(&fault(Phase::Dot, Kind::Unreadable("354 go on".into())), true);
    assert_eq!(verdict, Verdict::Garbled);
    assert_eq!((verdict.trouble(), verdict.leaves_doubt()), (Some(Trouble::Passing), true));
}

#[test]
fn every_other_refusal_for_now_spends_an_attempt() {
    let rows = [(452, "bare"), (450, "4.5.0 x"), (451, "4.6.1 x"), (421, "x"), (450, "5.1.1 contradicts itself")];
    check(&[Phase::Mail, Phase::Rcpt, Phase::Data], &rows, Verdict::Retry);
    check(&[Phase::Rcpt], &[(450, "4.3.2 x"), (550, "4.2.0 contradicts itself")], Verdict::Retry);
}
