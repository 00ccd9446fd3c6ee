use super::*;

fn class(phase: Phase, kind: ErrorKind) -> FailureClass {
    classify(&SmtpError { phase, kind }, SenderOrigin::Settings)
}

fn refusal(code: u16, words: &str) -> ErrorKind {
    ErrorKind::Refusal(Reply::new(code, words))
}

const UNAVAILABLE: FailureClass = FailureClass::Provider(ProviderFailure::Unavailable);
const BLOCKED: FailureClass = FailureClass::Provider(ProviderFailure::Blocked);
const INSECURE: FailureClass = FailureClass::Provider(ProviderFailure::Insecure);
const LOGIN_REFUSED: FailureClass = FailureClass::Provider(ProviderFailure::LoginRefused);
const THROTTLED: FailureClass = FailureClass::Provider(ProviderFailure::Throttled);
const SENDER_REFUSED: FailureClass = FailureClass::Provider(ProviderFailure::SenderRefused);
const FAILED: FailureClass = FailureClass::Permanent(Suppression::No);
const UNKNOWN_USER: FailureClass = FailureClass::Permanent(Suppression::Now);

/// Every reply must be classified as expected, at every phase.
fn check(phases: &[Phase], rows: &[(u16, &str)], expected: FailureClass) {
    for phase in phases {
        for (code, words) in rows {
            assert_eq!(class(*phase, refusal(*code, words)), expected, "{phase:?}: {code} {words}");
        }
    }
}

#[test]
fn unreachable_server_is_unavailable() {
    for phase in [Phase::Connect, Phase::Tls, Phase::Greeting] {
        assert_eq!(class(phase, ErrorKind::ConnectionLost("refused".into())), UNAVAILABLE);
    }
}

#[test]
fn bad_certificate_and_missing_starttls_are_insecure() {
    assert_eq!(class(Phase::Tls, ErrorKind::Untrusted("expired".into())), INSECURE);
    assert_eq!(class(Phase::Connect, ErrorKind::Untrusted("expired".into())), INSECURE);
    assert_eq!(class(Phase::Tls, ErrorKind::NotOffered("STARTTLS")), INSECURE);
}

#[test]
fn greeting_of_4yz_is_unavailable() {
    check(&[Phase::Greeting, Phase::Ehlo], &[(421, "4.3.2 busy"), (450, "x")], UNAVAILABLE);
}

#[test]
fn greeting_of_5yz_is_blocked() {
    check(&[Phase::Greeting], &[(521, "no mail here"), (554, "5.7.1 blocked")], BLOCKED);
}

#[test]
fn temporary_login_failure_is_unavailable() {
    check(&[Phase::Auth], &[(432, "4.7.12 x"), (454, "4.7.0 x")], UNAVAILABLE);
}

#[test]
fn refused_login_needs_an_operator() {
    let codes = [500, 501, 502, 503, 504, 530, 534, 535, 538].map(|code| (code, "5.7.8 no"));
    check(&[Phase::Auth], &codes, LOGIN_REFUSED);
    assert_eq!(class(Phase::Auth, ErrorKind::NotOffered("AUTH")), LOGIN_REFUSED);
    check(&[Phase::Mail, Phase::Rcpt, Phase::Data], &[(530, "5.7.0 log in first")], LOGIN_REFUSED);
}

#[test]
fn throttling_spends_no_attempt() {
    let rows = [
        (452, "4.3.1 full"),
        (451, "4.3.2 busy"),
        (450, "4.7.28 slow down"),
        (454, "Throttling failure"),
        (432, "x"),
        (421, "x"),
        (421, "4.3.2 closing"),
    ];
    check(&[Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Body, Phase::EndOfData], &rows, THROTTLED);
    check(&[Phase::Mail, Phase::Data, Phase::EndOfData], &[(450, "4.7.1 slow down")], THROTTLED);
}

#[test]
fn sender_refused_at_rcpt_does_not_suppress() {
    let rows = [
        (550, "5.1.8 <x@y>: Sender address rejected: Domain not found"),
        (550, "5.1.7 bad sender"),
        (553, "5.7.1 <x@y>: Sender address rejected: not owned by user ada"),
        (550, "<x@y>: sender address rejected"),
    ];
    check(&[Phase::Rcpt], &rows, SENDER_REFUSED);
    for (code, words) in rows {
        assert_eq!(classify(&SmtpError::new(Phase::Rcpt, refusal(code, words)), SenderOrigin::Job), FAILED);
    }
    let passing = (450, "4.1.8 <x@y>: Sender address rejected: Domain not found");
    check(&[Phase::Rcpt], &[passing], SENDER_REFUSED);
    let of_job = classify(&SmtpError::new(Phase::Rcpt, refusal(passing.0, passing.1)), SenderOrigin::Job);
    assert_eq!(of_job, FailureClass::Transient);
}

#[test]
fn refused_sender_opens_circuit_only_for_mail_from() {
    let rows =
        [(550, "5.1.7 x"), (553, "5.1.8 x"), (550, "5.7.1 not yours"), (553, "sender refused"), (501, "5.1.7 x")];
    check(&[Phase::Mail], &rows, SENDER_REFUSED);
    for (code, words) in rows {
        assert_eq!(classify(&SmtpError::new(Phase::Mail, refusal(code, words)), SenderOrigin::Job), FAILED);
    }
}

#[test]
fn mail_that_no_server_takes_fails() {
    check(&[Phase::Mail], &[(552, "5.3.4 too big"), (501, "x"), (504, "x"), (555, "x"), (554, "5.6.1 media")], FAILED);
}

#[test]
fn greylisting_and_missing_routes_back_off() {
    let rows = [(450, "4.2.0 greylisted"), (451, "4.7.1 try later"), (450, "4.4.1 no route"), (451, "4.4.4 x")];
    check(&[Phase::Rcpt], &rows, FailureClass::Greylisted);
    let rows = [(450, "4.7.1 Greylisted, try in 300 s"), (451, "graylisting in action"), (451, "4.3.0 greylisted")];
    check(&[Phase::Rcpt, Phase::Data, Phase::EndOfData], &rows, FailureClass::Greylisted);
}

#[test]
fn temporarily_full_mailbox_backs_off() {
    check(&[Phase::Rcpt], &[(450, "4.2.1 closed"), (452, "4.2.2 full")], FailureClass::Greylisted);
}

#[test]
fn nonexistent_address_is_suppressed() {
    let rows =
        [(550, "5.1.1 no such user"), (551, "5.1.6 moved"), (553, "5.1.3 x"), (550, "5.2.1 x"), (556, "5.1.10 x")];
    check(&[Phase::Rcpt], &rows, UNKNOWN_USER);
    check(&[Phase::Rcpt], &[(550, "without an enhanced code")], FAILED);
}

#[test]
fn full_mailbox_is_suppressed_when_repeated() {
    check(&[Phase::Rcpt, Phase::EndOfData], &[(552, "5.2.2 full")], FailureClass::Permanent(Suppression::WhenRepeated));
}

#[test]
fn policy_refusal_fails_without_suppression() {
    check(&[Phase::Rcpt, Phase::EndOfData], &[(550, "5.7.1 spam"), (554, "5.7.26 SPF")], FAILED);
    let is = |phase, code, words: &str| is_policy(phase, &Reply::new(code, words));
    assert!(is(Phase::Rcpt, 550, "5.7.1 spam") && is(Phase::EndOfData, 554, "5.7.26 SPF"));
    for (phase, code, words) in [
        (Phase::Mail, 550, "5.7.1 not your address"),
        (Phase::Rcpt, 550, "5.7.1 <x@y>: Sender address rejected: not owned by user ada"),
        (Phase::Rcpt, 530, "5.7.0 log in first"),
        (Phase::Rcpt, 550, "5.1.1 no such user"),
        (Phase::EndOfData, 550, "4.7.1 contradiction"),
    ] {
        assert!(!is(phase, code, words), "{phase:?}: {code} {words}");
    }
}

#[test]
fn mail_that_needs_a_missing_extension_fails() {
    assert_eq!(class(Phase::Mail, ErrorKind::NotOffered("SMTPUTF8")), FAILED);
}

#[test]
fn dialogue_that_breaks_off_during_a_mail_is_to_be_judged() {
    for phase in [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Body] {
        assert_eq!(class(phase, ErrorKind::ConnectionLost("reset".into())), FailureClass::BrokeOff);
        assert_eq!(class(phase, ErrorKind::UnexpectedReply("?".into())), FailureClass::BrokeOff);
    }
}

#[test]
fn final_reply_decides() {
    check(&[Phase::EndOfData], &[(450, "x"), (451, "4.6.0 x"), (471, "x")], FailureClass::Transient);
    check(&[Phase::EndOfData], &[(550, "x"), (554, "5.6.0 x"), (552, "5.3.4 x")], FAILED);
}

#[test]
fn missing_reply_to_end_of_data_is_ambiguous() {
    assert_eq!(class(Phase::EndOfData, ErrorKind::ConnectionLost("reset".into())), FailureClass::Ambiguous);
}

#[test]
fn garbled_final_reply_is_ambiguous_and_spends_no_attempt() {
    let class = class(Phase::EndOfData, ErrorKind::UnexpectedReply("354 go on".into()));
    assert_eq!((class, class.is_ambiguous()), (FailureClass::AmbiguousDeferred, true));
}

#[test]
fn other_temporary_refusals_spend_an_attempt() {
    let rows = [(452, "bare"), (450, "4.5.0 x"), (451, "4.6.1 x"), (450, "5.1.1 contradiction")];
    check(&[Phase::Mail, Phase::Rcpt, Phase::Data], &rows, FailureClass::Transient);
    check(&[Phase::Rcpt], &[(550, "4.2.0 contradiction")], FailureClass::Transient);
}
