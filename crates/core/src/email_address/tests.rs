use super::*;
use proptest::prelude::*;

fn check(raw: &str, expected: Result<&str, BadEmailAddress>) {
    let parsed = EmailAddress::parse(raw);
    assert_eq!(parsed.as_ref().map(EmailAddress::as_str).map_err(|error| *error), expected, "{raw:?}");
}

fn key(raw: &str) -> String {
    EmailAddress::parse(raw).unwrap_or_else(|error| panic!("{raw:?}: {error}")).canonical()
}

#[test]
fn plain_mailboxes_are_accepted() {
    for good in ["a@b.example", "first.last+tag@sub.example.org", "root@localhost", "o'brien/x=1@b-c.example"] {
        check(good, Ok(good));
    }
}

#[test]
fn mailboxes_of_many_scripts_are_accepted() {
    for local in
        ["ü", "zoë", "straße", "æble", "ışık", "łukasz", "иван", "οδός", "用户1", "かな漢字abc", "민수kim", "مريم"]
    {
        check(&format!("{local}@b.example"), Ok(&format!("{local}@b.example")));
    }
    for local in ["हिन्दी", "ไทย", "דוד", "தமிழ்"] {
        check(&format!("{local}@b.example"), Ok(&format!("{local}@b.example")));
    }
}

#[test]
fn what_is_not_one_mailbox_is_refused() {
    for bad in [
        "",
        "a",
        "@b",
        "a b@c.example",
        "A <a@b.example>",
        "a@b.example, c@d.example x",
        "a\0@b.example",
        ".a@b.example",
        "a..b@c.example",
        "a.@b.example",
        "a@b@c.example",
        "\"a@b.example",
        "a(x)@b.example",
        "a\u{a0}b@c.example",
    ] {
        check(bad, Err(BadEmailAddress::Form));
    }
    for bad in [
        "a@",
        "a@[1.2.3.4]",
        "a@b\r\nBcc: c@d",
        "a@b.example.",
        "a@.example",
        "a@b..example",
        "a@-b.example",
        "a@b-.example",
        "a@1.2.3.4",
        "a@1",
        "a@b_c.example",
        "a@xn--zzzzzz.example",
        "a@b.example, c",
        "a@b\u{202e}.example",
    ] {
        let found = EmailAddress::parse(bad);
        assert!(matches!(found, Err(BadEmailAddress::Domain | BadEmailAddress::Form)), "{bad:?} {found:?}");
    }
}

#[test]
fn lengths_are_those_of_the_normal_form() {
    let local = "a".repeat(64);
    check(&format!("{local}@b.example"), Ok(&format!("{local}@b.example")));
    check(&format!("a{local}@b.example"), Err(BadEmailAddress::TooLong));
    check(&format!("{}@b.example", "ü".repeat(33)), Err(BadEmailAddress::TooLong));
    let labels = |last: usize| format!("{0}.{0}.{1}.example", "b".repeat(63), "b".repeat(last));
    check(&format!("{}@{}", "a".repeat(64), labels(53)), Ok(&format!("{}@{}", "a".repeat(64), labels(53))));
    check(&format!("{}@{}", "a".repeat(64), labels(54)), Err(BadEmailAddress::TooLong));
    check(&format!("a@{}.example", "b".repeat(64)), Err(BadEmailAddress::Domain));
    check(&format!("a@{}", "b.".repeat(126)), Err(BadEmailAddress::Domain));
    check(&format!("a@{}", "b.".repeat(127)), Err(BadEmailAddress::TooLong));
    check(&"a".repeat(100_000), Err(BadEmailAddress::TooLong));
}

#[test]
fn a_domain_beyond_ascii_is_stored_as_dns_knows_it() {
    check("a@exämple.example", Ok("a@xn--exmple-cua.example"));
    check("a@XN--EXMPLE-CUA.example", Ok("a@xn--exmple-cua.example"));
    check("a@ｅｘａｍｐｌｅ。example", Ok("a@example.example"));
    check("a@İ.example", Ok("a@xn--i-9bb.example"));
    // 31 of them grow beyond 63 bytes in lower case, and are a legal label in Punycode.
    for grows in ["Ⱥ", "Ⱦ"] {
        let address = EmailAddress::parse(&format!("a@{}.example", grows.repeat(31))).expect("an address");
        assert!(address.as_str().starts_with("a@xn--") && address.as_str().len() < 75, "{}", address.as_str());
        check(address.as_str(), Ok(address.as_str()));
    }
    check(&format!("a@{}.example", "Ⱥ".repeat(63)), Err(BadEmailAddress::Domain));
}

#[test]
fn quotes_that_are_not_needed_are_dropped() {
    check("\"quoted\"@x.example", Ok("quoted@x.example"));
    check("\"a\\b.c\"@x.example", Ok("ab.c@x.example"));
    for needed in ["\"jane doe\"", "\"a@b\"", "\"victim@other.test x\"", "\"\"", "\"a..b\"", "\"a\\\"", "\"<\""] {
        check(&format!("{needed}@x.example"), Err(BadEmailAddress::Quoted));
    }
}

#[test]
fn one_mailbox_is_one_account() {
    for spelt in
        ["Kate@x.example", "\u{212a}ate@x.example", "ＫＡＴＥ@x.example", "\"kate\"@X.EXAMPLE", "kate＠x．example"]
    {
        assert_eq!(key(spelt), "kate@x.example", "{spelt}");
    }
    assert_eq!(key("ſam@x.example"), "sam@x.example");
    assert_eq!(key("ΟΔΟΣ@x.example"), key("οδος@x.example"));
    assert_eq!(key("οδοσ@x.example"), key("οδος@x.example"));
    assert_eq!(key("ZOE\u{308}@exämple.example"), key("zoë@xn--exmple-cua.example"));
    assert_eq!(key("STRASSE@x.example"), key("straße@x.example"));
    assert_eq!(key("\"a\"@exämple.example"), "a@xn--exmple-cua.example");
}

#[test]
fn what_passes_for_another_mailbox_is_refused() {
    for look_alike in [
        "pаypal",
        "аса",
        "mıke",
        "ad\u{200b}a",
        "ada\u{feff}",
        "a\u{202e}b",
        "a\u{ad}b",
        "a\u{200d}b",
        "a\u{fe0f}b",
        "\u{301}a",
        "a‐b",
        "o’brien",
        "a\u{3164}",
        "οdos",
        "😀",
        "a\u{e000}",
    ] {
        check(&format!("{look_alike}@x.example"), Err(BadEmailAddress::LookAlike));
    }
}

#[test]
fn the_case_of_a_letter_does_not_decide_what_is_accepted() {
    for look_alike in ["Σ", "σ", "ς", "ΟΣ", "ος", "Þ", "þ", "Б", "б", "Ꭺ", "ꭺ"] {
        check(&format!("{look_alike}@x.example"), Err(BadEmailAddress::LookAlike));
    }
    for local in ["Δ", "δ", "Ж", "ж", "Μάϊος", "ΟΔΟΣ", "Иван", "вера", "Ü"] {
        check(&format!("{local}@x.example"), Ok(&format!("{local}@x.example")));
    }
    // Capitals only that pass for ASCII: kept in lower case.
    for (given, kept) in [
        ("ВЕРА", "вера"),
        ("Вера", "вера"),
        ("Н", "н"),
        ("ΜΗΤΗΡ", "μητηρ"),
        ("Ვ", "ვ"),
        ("\u{1c80}", "в"),
        ("\"В\"", "в"),
    ] {
        check(&format!("{given}@x.example"), Ok(&format!("{kept}@x.example")));
        assert_eq!(key(&format!("{given}@x.example")), key(&format!("{kept}@x.example")));
    }
}

#[test]
fn all_cases_of_every_character_are_accepted_or_none() {
    let accepted = |local: &str| EmailAddress::parse(&format!("{local}@x.example")).ok();
    let mut odd = Vec::new();
    for given in '\0'..=char::MAX {
        let (text, address) = (given.to_string(), accepted(given.encode_utf8(&mut [0; 4])));
        let folded = local_part::folded(&text.nfkc().collect::<String>());
        for case in [text.to_lowercase(), text.to_uppercase(), folded] {
            let other = if case == text { address.clone() } else { accepted(&case) };
            if other.as_ref().map(EmailAddress::canonical) != address.as_ref().map(EmailAddress::canonical) {
                odd.push(given);
            }
        }
        if let Some(address) = &address {
            assert_eq!(accepted(address.local_part()).as_ref(), Some(address), "{given:?}");
        }
    }
    // A letter of its own, of which `to_uppercase` makes the capital of another.
    assert_eq!(odd, ['ı']);
}

#[test]
fn an_account_made_by_former_rules_is_found_by_its_name() {
    let keys = |raw: &str| AccountName::parse(raw).expect("a name").keys().to_vec();
    assert_eq!(keys("Ada@Exämple.example"), ["ada@exämple.example", "ada@xn--exmple-cua.example"]);
    assert_eq!(keys("\"Jane Doe\"@b.example"), ["\"jane doe\"@b.example", "\"jane doe\"@b.example"]);
    assert_eq!(keys("pаypal@b_c.example")[0], "pаypal@b_c.example");
    for never in ["", "a", "a b@c.example", "A <a@b.example>", "a@b\r\n", "a@", "a@b..c", "a@[1.2.3.4]"] {
        let found = AccountName::parse(never);
        assert!(found.is_err() || never == "a@b\r\n", "{never:?}");
    }
}

#[test]
fn debug_does_not_show_who_it_is() {
    let address = EmailAddress::parse("ada@example.com").expect("good address");
    assert_eq!(format!("{address:?}"), "EmailAddress(…@example.com)");
    assert!(!format!("{:?}", AccountName::from(&address)).contains("ada"));
}

/// Texts that look like addresses: of one script or of several, in many spellings, with what has broken them before.
pub(crate) fn address_like() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        4 => "[a-zA-Z0-9!#'*+/=?^_{|}~-]{1,8}",
        2 => "[a-zßŠšſKÅİäæıＺ９ﬁ²½\u{301}\u{307}]{1,8}",
        1 => "[ΣσςΑΩάο]{1,8}",
        1 => "[ЖЯёжияй]{1,8}",
        1 => "[हनदमक][\u{93f}\u{940}\u{94d}]?[हनदमक]{1,4}",
        1 => "[中文用户かなカナ한국]{1,6}",
        1 => "[אבעمرحبا٣]{1,8}",
        1 => "[aаЯΣäア\u{200b}\u{200d}\u{ad}\u{202e}‐’@ \"]{1,8}",
    ];
    let local = prop::collection::vec(atom, 1..3).prop_map(|atoms| atoms.join("."));
    let local = prop_oneof![4 => local.clone(), 1 => local.prop_map(|local| format!("\"{local}\""))];
    let label = prop_oneof![
        4 => "[a-zA-Z0-9][a-zA-Z0-9-]{0,8}[a-z0-9]",
        2 => "[a-zA-Z0-9ßäÄİıȺΣς\u{ad}]{1,20}",
        1 => "[אע]{1,9}|[中あア한]{1,9}|[ЖЯёж]{1,9}",
        1 => "[ȺȾİΣä]{20,63}",
        1 => "xn--[a-z0-9]{1,8}(-[a-z0-9]{1,4})?",
    ];
    let dot = prop::sample::select(vec![".", ".", "。", "．"]);
    let last = prop::sample::select(vec!["example", "рф", "EXAMPLE", "中国"]);
    let domain = (prop::collection::vec((label, dot), 0..3), last)
        .prop_map(|(labels, last)| labels.into_iter().map(|(label, dot)| label + dot).collect::<String>() + last);
    (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
}

proptest! {
    #[test]
    fn parsing_what_was_parsed_changes_nothing(raw in address_like()) {
        if let Ok(address) = EmailAddress::parse(&raw) {
            prop_assert_eq!(EmailAddress::parse(address.as_str()), Ok(address.clone()));
            prop_assert!(address.as_str().len() <= EmailAddress::MAX_LEN && address.domain().is_ascii());
            prop_assert!(!address.as_str().contains(|c: char| c.is_control() || c.is_whitespace() || "<>\",()".contains(c)));
        }
    }

    #[test]
    fn case_does_not_make_another_account(raw in address_like()) {
        if let Ok(address) = EmailAddress::parse(&raw.replace('ı', "")) {
            // In a domain ς is another letter than σ. And ı is a letter of its own, of which `to_uppercase` makes I.
            let raw = raw.replace('ı', "");
            let (local, domain) = raw.rsplit_once('@').expect("both parts");
            for local in [local.to_lowercase(), local.to_uppercase(), local.nfd().collect(), local.nfkd().collect()] {
                match EmailAddress::parse(&format!("{local}@{domain}")) {
                    Ok(other) => prop_assert_eq!(other.canonical(), address.canonical(), "{}", local),
                    // Another case of a letter may need more bytes.
                    Err(error) => prop_assert_eq!(error, BadEmailAddress::TooLong, "{}", local),
                }
            }
            match EmailAddress::parse(&address.canonical()) {
                Ok(folded) => prop_assert_eq!(folded.canonical(), address.canonical()),
                Err(error) => prop_assert_eq!(error, BadEmailAddress::TooLong),
            }
        }
    }

    #[test]
    fn no_text_makes_parsing_panic(raw in ".*") {
        if let Ok(address) = EmailAddress::parse(&raw) {
            prop_assert_eq!(EmailAddress::parse(address.as_str()), Ok(address));
        }
        drop(AccountName::parse(&raw));
    }
}

#[test]
fn generated_addresses_are_addresses() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut draw = || address_like().new_tree(&mut runner).expect("a value").current();
    let good = (0..500).filter(|_| EmailAddress::parse(&draw()).is_ok()).count();
    assert!(good > 200, "{good} of 500");
}
