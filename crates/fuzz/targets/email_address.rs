//! What is accepted as an address is a fixed point, fits its limits, and is one account however it is spelled.
#![no_main]

use examhall_core::EmailAddress;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(address) = EmailAddress::parse(text) else { return };
    let again = EmailAddress::parse(address.as_str()).expect("what was accepted is accepted again");
    assert_eq!(again, address);
    assert_eq!(again.canonical(), address.canonical());
    let (local, domain) = address.as_str().rsplit_once('@').expect("two parts");
    assert!((1..=64).contains(&local.len()) && address.as_str().len() <= EmailAddress::MAX_LEN);
    assert!(domain.is_ascii() && domain.split('.').all(|label| (1..=63).contains(&label.len())), "{domain}");
    assert!(!address.as_str().chars().any(|c| c.is_control() || c.is_whitespace() || c == '"'));
    let upper = format!("{}@{}", local.to_ascii_uppercase(), domain.to_ascii_uppercase());
    let upper = EmailAddress::parse(&upper).expect("case does not make an address wrong");
    assert_eq!(upper.canonical(), address.canonical());
    if let Ok(key) = EmailAddress::parse(&address.canonical()) {
        assert_eq!(key.canonical(), address.canonical());
    }
});
