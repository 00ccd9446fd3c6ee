use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000); // 2026-11-23T09:00:00Z

fn parse(text: &str) -> MailQuery {
    MailQuery::parse(text, NOW).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> (usize, String) {
    let error = MailQuery::parse(text, NOW).expect_err(text);
    (error.at, error.to_string())
}

#[test]
fn each_key_sets_its_term() {
    let query = parse(
        r#"to:Ada@Example.COM id:7 msgid:<m-7@x.example> subject:"exam moved" class:Result reason:5.1.1 state:in-doubt
           before:2026-11-23 after:2026-11-22T10:00:00+01:00"#,
    );
    assert_eq!(query.to, Some(WantedRecipient::Address("ada@example.com".into())));
    assert_eq!((query.id.as_deref(), query.message_id.as_deref()), (Some("7"), Some("m-7@x.example")));
    assert_eq!((query.subject.as_deref(), query.reason.as_deref()), (Some("exam moved"), Some("5.1.1")));
    assert_eq!((query.class, query.state), (Some(MailClass::Result), Some(MailState::InDoubt)));
    assert_eq!(query.before.map(|at| at.to_string()).as_deref(), Some("2026-11-23T00:00:00.000Z"));
    assert_eq!(query.after.map(|at| at.to_string()).as_deref(), Some("2026-11-22T09:00:00.000Z"));
    assert_eq!(query.text, None);
}

#[test]
fn words_without_a_key_are_understood() {
    assert_eq!(parse("ada@example.com").to, Some(WantedRecipient::Address("ada@example.com".into())));
    assert_eq!(
        parse("m-018f4e3a-0000-7000-8000-000000000001").id.as_deref(),
        Some("m-018f4e3a-0000-7000-8000-000000000001")
    );
    assert_eq!(parse("<7.17@x.example>").message_id.as_deref(), Some("7.17@x.example"));
    assert_eq!(parse("mailbox  full state:failed now").text.as_deref(), Some("mailbox full now"));
    assert_eq!(parse("\"ada@example.com sent\"").text.as_deref(), Some("ada@example.com sent"));
    assert!(parse("  ").is_empty() && parse("\"\"").is_empty() && !parse("x").is_empty());
}

#[test]
fn ages_count_back_from_now() {
    for (text, seconds) in [("30s", 30), ("90m", 5400), ("2h", 7200), ("3d", 259_200), ("1w", 604_800), ("0h", 0)] {
        let wanted = NOW.minus(Duration::from_secs(seconds));
        assert_eq!(parse(&format!("after:{text}")).after, Some(wanted), "{text}");
    }
}

#[test]
fn a_fault_points_at_its_word() {
    for (text, at, part) in [
        ("to:a befor:2h", 5, "no such key"),
        ("state:lost", 0, "one of outbox, waiting"),
        ("ü class:letters", 2, "verification, reset"),
        ("id:7 before:yesterday", 5, "2h (ago)"),
        ("before:2026-02-30", 0, "2h (ago)"),
        ("after:-2h", 0, "2h (ago)"),
        ("id:7 id:8", 5, "twice"),
        ("ada@x.example to:bob@x.example", 14, "twice"),
        ("id:7 to:", 5, "a value must follow"),
        ("id:7 to:\" \"", 5, "a value must follow"),
        ("id:7 subject:\"exam", 13, "does not end"),
    ] {
        let (found, message) = error(text);
        assert_eq!(found, at, "{text}: {message}");
        assert!(message.contains(part) && message.contains(&format!("character {}", at + 1)), "{message}");
    }
    assert_eq!(error(&"x".repeat(501)).0, 500);
    parse(&"x".repeat(500));
}

#[test]
fn recipients_are_met_in_every_spelling() {
    let ada = parse("to:ada@bücher.example").to.expect("a recipient");
    for met in [
        "ada@xn--bcher-kva.example",
        "ADA@Bücher.example",
        "\"Ada L\" <ada@bücher.example>",
        "x@y.example, ada@bücher.example",
    ] {
        assert!(ada.is_met_by(met), "{met}");
    }
    for other in ["ada@example.com", "xada@bücher.example", "ada@bücher.example.com", "", "<>"] {
        assert!(!ada.is_met_by(other), "{other}");
    }
    let domain = parse("to:@Example.com").to.expect("a recipient");
    assert!(domain.is_met_by("Ada <ADA@EXAMPLE.COM>") && !domain.is_met_by("ada@x.example"));
}

#[test]
fn no_address_is_in_debug_output() {
    let shown = format!("{:?}", parse("to:ada@example.com").to);
    assert!(!shown.contains("ada"), "{shown}");
}

proptest! {
    #[test]
    fn any_text_is_a_query_or_a_fault_within_it(text in "[a-z:\" \\\\<>@.ü0-9-]{0,80}") {
        if let Err(error) = MailQuery::parse(&text, NOW) {
            prop_assert!(error.at < text.chars().count(), "{}: {}", text, error);
        }
    }
}
